"""Who is at the other end of a connection, by the session cookie."""

from __future__ import annotations

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from chat.database import run_unit
from chat.live.sentinel import Viewer, allowed_of
from chat.models import User


class LoggedOutError(Exception):
    """The viewer's session, password or person is no longer what it was."""


async def viewer_of(session_key: str | None) -> tuple[User, Viewer] | None:
    """The person and their viewer by the value of the session cookie; None if nobody is logged in."""
    return await run_unit(_by_session, session_key) if session_key else None


def person_of(viewer: Viewer) -> User:
    """Who the viewer is, as they are now: for the unit that acts. Raises `LoggedOutError`."""
    user = User.objects.filter(pk=viewer.user_id).first()
    if user is None or not allowed_of([viewer.claim]):
        raise LoggedOutError
    return user


def _by_session(key: str) -> tuple[User, Viewer] | None:
    """Not by Django's `get_user`: it moves a session that is of a former secret key to a new id, which no
    answer here could tell the browser, who would be logged out."""
    session = SessionStore(key)
    try:
        viewer = Viewer(int(session[SESSION_KEY]), key, session[HASH_SESSION_KEY])
        return person_of(viewer), viewer
    except (KeyError, ValueError, LoggedOutError):
        return None
