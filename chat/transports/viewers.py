"""The viewer of a connection: the user of its session cookie, who may see its conversation."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.utils import timezone

from chat.access import conversation_seen_by, opened_conversation
from chat.actor import LoggedOutError, SessionClaim, is_session_of, user_of_session
from chat.live.hub import Listener
from chat.live.session_monitor import Viewer
from chat.models import Generation, Preferences, User
from chat.models.preferences import streaming_of
from chat.models.prepared import Prepared
from chat.sessions import SessionStore

_live = Prepared(
    lambda pk: Generation.objects.live().filter(conversation=pk).values_list("pk", flat=True)[:1], UUID
)


def viewer_of(session_key: str | None, conversation_id: UUID, listener: Listener | None = None) -> Viewer:
    """Returns the viewer with this session cookie for this conversation, or for an unused id. Raises
    `LoggedOutError`, `NotFoundError`. With `listener`, which listens to the conversation already, the viewer
    knows the conversation as it is now: a page that shows this revision needs no query.

    This does not use Django's `get_user`. It moves a session of a former secret key to a new id, which the
    response here could not send to the browser, so the user would be logged out.
    """
    return _read_at_once(session_key or "", conversation_id, listener) or _read_by_parts(
        session_key or "", conversation_id, listener
    )


def _read_at_once(session_key: str, conversation_id: UUID, listener: Listener | None) -> Viewer | None:
    """Returns the viewer by one query, or None if this is not the user's own chat. Each query of a page that
    reconnects makes its database thread wait for the interpreter."""
    opened = opened_conversation(session_key, timezone.now(), conversation_id)
    if opened is None:
        return None
    claim = _claim_of(SessionStore().decode(opened.session_data), session_key)
    owner = User(pk=opened.conversation.owner_id, password=opened.password, is_active=opened.is_active)
    if claim is None or not is_session_of(owner, claim):
        return None
    style = opened.streaming or Preferences.Streaming.WORDS
    if listener is None:
        return Viewer(claim, style)
    return Viewer(claim, style, listener, is_known=not opened.is_live, known=opened.conversation)


def _read_by_parts(session_key: str, conversation_id: UUID, listener: Listener | None) -> Viewer:
    claim = _claim_of(SessionStore(session_key).load(), session_key)
    if claim is None:
        raise LoggedOutError
    user_of_session(claim)
    conversation = conversation_seen_by(claim.user_id, conversation_id)
    style = streaming_of.first(claim.user_id) or Preferences.Streaming.WORDS
    if listener is None:
        return Viewer(claim, style)
    # Read after the conversation: a reply that begins in between changes the revision, which wakes.
    is_known = conversation is None or not _live.all(conversation_id)
    return Viewer(claim, style, listener, is_known=is_known, known=conversation)


def _claim_of(session: dict[str, Any], session_key: str) -> SessionClaim | None:
    try:
        return SessionClaim(int(session[SESSION_KEY]), session_key, session[HASH_SESSION_KEY])
    except (KeyError, ValueError):
        return None
