"""Who is at the other end of a connection, by the session cookie."""

from __future__ import annotations

from types import SimpleNamespace

from django.contrib.auth import HASH_SESSION_KEY, get_user
from django.contrib.sessions.backends.db import SessionStore

from chat.database import run_unit
from chat.live.sentinel import Viewer
from chat.models import User


async def viewer_of(session_key: str | None) -> tuple[User, Viewer] | None:
    """The person and their viewer by the value of the session cookie; None if nobody is logged in."""
    return await run_unit(_by_session, session_key) if session_key else None


def _by_session(key: str) -> tuple[User, Viewer] | None:
    session = SessionStore(key)
    user = get_user(SimpleNamespace(session=session))  # type: ignore[arg-type]  # all it reads is the session
    if not isinstance(user, User) or not user.is_active:
        return None
    return user, Viewer(user.pk, key, session[HASH_SESSION_KEY])
