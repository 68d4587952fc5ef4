"""The user of a connection, from the session cookie."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from chat.access import NotFoundError, may_open
from chat.live.session_monitor import Viewer, allowed_of
from chat.models import Preferences, User
from chat.translatable import translatable as _


class LoggedOutError(Exception):
    """The viewer's session has ended, the password has changed, or the user is not active any more."""


def viewer_of(session_key: str | None, conversation_id: UUID) -> Viewer:
    """Returns the viewer with this session cookie for this conversation, or for an unused id. Raises
    `LoggedOutError`, `NotFoundError`.

    This does not use Django's `get_user`. It moves a session of a former secret key to a new id, which the
    response here could not send to the browser, so the user would be logged out.
    """
    session = SessionStore(session_key)
    try:
        viewer = Viewer(int(session[SESSION_KEY]), session_key or "", session[HASH_SESSION_KEY])
    except (KeyError, ValueError):
        raise LoggedOutError from None
    if not may_open(person_of(viewer), conversation_id):
        raise NotFoundError(_("There is no such chat."))
    liked = Preferences.objects.filter(user=viewer.user_id).values_list("streaming", flat=True).first()
    viewer.style = liked or Preferences.Streaming.WORDS
    return viewer


def person_of(viewer: Viewer) -> User:
    """Returns the viewer's user in the present state, for the unit of work that acts. Raises
    `LoggedOutError`."""
    user = User.objects.filter(pk=viewer.user_id).first()
    if user is None or not allowed_of([viewer.claim], [user]):
        raise LoggedOutError
    return user
