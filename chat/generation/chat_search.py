"""What the tool that searches one's own chats finds, as text for a model."""

from __future__ import annotations

import asyncio
from datetime import UTC
from uuid import UUID

from chat.database import run_unit
from chat.models import User
from chat.search import Found, search
from chat.search.highlight import Pieces
from chat.tools.base import Search

MOST_CHATS = 10
MOST_QUERY_CHARS = 500


def search_for(user_id: int, without: UUID) -> Search:
    """Returns a function that searches the chats of this user but one: that of the reply, which the model
    sees anyway. The user's rights are read at each search. A model may ask for many at once; they run one
    after another, because each takes a thread of the database."""
    turn = asyncio.Lock()

    async def find(query: str) -> str:
        async with turn:
            return await run_unit(_found, user_id, query[:MOST_QUERY_CHARS], without)

    return find


def _found(user_id: int, query: str, without: UUID) -> str:
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        return _NOTHING
    return _text(search(user, query, MOST_CHATS + 1), without)


_NOTHING = "Nothing was found."


def _text(found: Found, without: UUID) -> str:
    chats = [chat for chat in found.chats if chat.conversation.pk != without][:MOST_CHATS]
    blocks = []
    for chat in chats:
        lines = [f"# {_plain(chat.title) or 'Untitled'} (/conversations/{chat.conversation.pk}/)"]
        for hit in chat.hits:
            who = "person" if hit.by_user else "assistant"
            lines.append(f"- {hit.at.astimezone(UTC):%Y-%m-%d}, {who}: {_plain(hit.pieces)}")
        if chat.further:
            lines.append(f"- and {chat.further} more in this chat")
        blocks.append("\n".join(lines))
    more = ["There are more in older chats."] if found.older else []
    late = [] if found.is_complete else ["Older chats are still being indexed, so some may be missing."]
    return "\n\n".join([*(blocks or [_NOTHING]), *found.notes, *more, *late])


def _plain(pieces: Pieces) -> str:
    return "".join(text for text, _is_hit in pieces)
