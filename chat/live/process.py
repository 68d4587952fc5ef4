"""The name of this server process, which leases on generations carry."""

from __future__ import annotations

import os
import secrets

_token = secrets.token_hex(6)


def process_name() -> str:
    """The same in all of a process, another one in each: a worker that is forked after this was imported
    has a name of its own."""
    return f"{os.getpid()}-{_token}"


def _renew() -> None:
    global _token
    _token = secrets.token_hex(6)


os.register_at_fork(after_in_child=_renew)
