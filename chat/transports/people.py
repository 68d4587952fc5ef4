"""The user of a connection, from the session cookie."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY

from chat.access import conversation_seen_by
from chat.actor import LoggedOutError, SessionClaim, user_of_session
from chat.live.hub import Listener
from chat.live.session_monitor import Viewer
from chat.models import Generation, Preferences
from chat.models.preferences import streaming_of
from chat.models.prepared import Prepared
from chat.sessions import SessionStore

_live = Prepared(
    lambda pk: Generation.objects.live().filter(conversation=pk).values_list("pk", flat=True)[:1], UUID
)


def viewer_of(session_key: str | None, conversation_id: UUID, listener: Listener | None = None) -> Viewer:
    """Returns the viewer with this session cookie for this conversation, or for an unused id. Raises
    `LoggedOutError`, `NotFoundError`. With `listener`, which listens to the conversation already, the viewer
    knows the conversation as it is now: a page that shows this revision needs no look at the database.

    This does not use Django's `get_user`. It moves a session of a former secret key to a new id, which the
    response here could not send to the browser, so the user would be logged out.
    """
    session = SessionStore(session_key)
    try:
        claim = SessionClaim(int(session[SESSION_KEY]), session_key or "", session[HASH_SESSION_KEY])
    except (KeyError, ValueError):
        raise LoggedOutError from None
    user_of_session(claim)
    conversation = conversation_seen_by(claim.user_id, conversation_id)
    style = streaming_of.first(claim.user_id) or Preferences.Streaming.WORDS
    if listener is None:
        return Viewer(claim, style)
    # Read after the conversation: a reply that begins in between changes the revision, which wakes.
    is_known = conversation is None or not _live.all(conversation_id)
    return Viewer(claim, style, listener, is_known=is_known, known=conversation)
