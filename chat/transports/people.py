"""The user of a connection, from the session cookie."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY

from chat.access import NotFoundError, may_open
from chat.actor import LoggedOutError, SessionClaim, actor_of
from chat.live.session_monitor import Viewer
from chat.models import Preferences
from chat.models.preferences import streaming_of
from chat.sessions import SessionStore
from chat.translatable import translatable as _


def viewer_of(session_key: str | None, conversation_id: UUID) -> Viewer:
    """Returns the viewer with this session cookie for this conversation, or for an unused id. Raises
    `LoggedOutError`, `NotFoundError`.

    This does not use Django's `get_user`. It moves a session of a former secret key to a new id, which the
    response here could not send to the browser, so the user would be logged out.
    """
    session = SessionStore(session_key)
    try:
        claim = SessionClaim(int(session[SESSION_KEY]), session_key or "", session[HASH_SESSION_KEY])
    except (KeyError, ValueError):
        raise LoggedOutError from None
    if not may_open(actor_of(claim).user, conversation_id):
        raise NotFoundError(_("There is no such chat."))
    liked = streaming_of.first(claim.user_id)
    return Viewer(claim, liked or Preferences.Streaming.WORDS)
