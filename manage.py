#!/usr/bin/env python
"""Steady's command line. `manage.py serve` sets everything up and starts the server."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from chatproject import installation

    try:
        installation.require_for((sys.argv[1:] or [""])[0])
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"A setting is wrong. {error}\n")
        sys.exit(2)
