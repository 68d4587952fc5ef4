"""Who is at the other end of a connection, by the session cookie."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, get_user
from django.contrib.sessions.backends.db import SessionStore
from django.http.cookie import parse_cookie

from chat.database import run_unit
from chat.live.sentinel import Viewer
from chat.models import User


async def viewer_of(headers: Iterable[tuple[bytes, bytes]]) -> tuple[User, Viewer] | None:
    """The person and their viewer by the cookies in an ASGI scope's headers; None if nobody is logged in."""
    cookies = next((value for name, value in headers if name == b"cookie"), b"")
    key = parse_cookie(cookies.decode("latin-1")).get(settings.SESSION_COOKIE_NAME)
    return await run_unit(_by_session, key) if key else None


def _by_session(key: str) -> tuple[User, Viewer] | None:
    session = SessionStore(key)
    user = get_user(SimpleNamespace(session=session))  # type: ignore[arg-type]  # all it reads is the session
    if not isinstance(user, User) or not user.is_active:
        return None
    return user, Viewer(user.pk, key, session[HASH_SESSION_KEY])
