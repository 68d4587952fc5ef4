"""The name of this server process, which leases on generations carry."""

from __future__ import annotations

import os
import secrets

_token = secrets.token_hex(6)


def process_name() -> str:
    """Returns a name that no other process has, also if it was forked after the import of this module."""
    return f"{os.getpid()}-{_token}"


def _renew() -> None:
    global _token
    _token = secrets.token_hex(6)


os.register_at_fork(after_in_child=_renew)
