"""What the two endpoints of the connection check and its client share: the token that opens them, and their
times. The client is in `network_checks.py`, which a server does not import."""

from __future__ import annotations

from django.core import signing

TOKEN_SECONDS = 300
TICKS, TICK_SECONDS = 4, 0.5  # the number of events, and the seconds between them
SILENCE_SECONDS = 20.0  # longer than the 15 s between heartbeats, so longer than any silence in a reply
_SALT = "chat.diagnosis.network_checks"


def new_token() -> str:
    """Returns a token that opens the two endpoints of the connection check for some minutes. They reveal
    nothing and change nothing."""
    return signing.dumps("connection-check", salt=_SALT)


def is_token(token: str) -> bool:
    try:
        return bool(signing.loads(token, salt=_SALT, max_age=TOKEN_SECONDS) == "connection-check")
    except signing.BadSignature:
        return False
