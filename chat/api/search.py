"""Search in the user's own chats."""

from __future__ import annotations

from typing import Annotated, Any

from ninja import Router
from ninja.params import functions as parameters

from chat.api import schemas
from chat.api.pages import Cursor, decoded, encoded
from chat.api.resources import conversation_json
from chat.api.routing import REFUSALS, ApiRequest, Token
from chat.database import run_unit
from chat.models import Generation, Scope, User
from chat.search import search
from chat.search.find import FoundChat

router = Router(tags=["Chats"])


@router.get(
    "/search",
    auth=Token(Scope.READ),
    response={200: schemas.SearchPage, **REFUSALS},
    operation_id="search",
    summary="Search your chats",
)
async def search_chats(
    request: ApiRequest,
    q: Annotated[str, parameters.Query(max_length=500, description="As in the search box of the page.")],
    cursor: Cursor = "",
    limit: Annotated[int, parameters.Query(ge=1, le=50, description="Chats of a page.")] = 20,
) -> dict[str, Any]:
    """Returns chats whose titles or messages match: those with a hit in the title first, then by the newest
    hit."""
    (until,) = decoded(cursor, _entry) if cursor else (0,)
    return await run_unit(_page, request.auth.user, q.replace("\x00", ""), limit, until)


def _page(user: User, text: str, limit: int, until: int) -> dict[str, Any]:
    found = search(user, text, limit, until=until)
    ids = [chat.conversation.pk for chat in found.chats]
    live = Generation.objects.live().filter(conversation__in=ids)
    running = set(live.values_list("conversation_id", flat=True))
    return {
        "items": [_found_json(chat, running=chat.conversation.pk in running) for chat in found.chats],
        "next": encoded(found.older) if found.older else None,
        "complete": found.is_complete,
    }


def _found_json(chat: FoundChat, *, running: bool) -> dict[str, Any]:
    return {
        "conversation": conversation_json(chat.conversation, running=running),
        "hits": [
            {
                "message": hit.message_id,
                "role": "user" if hit.by_user else "assistant",
                "created_at": hit.at,
                "shown": hit.shown,
                "excerpt": "".join(text for text, _is_hit in hit.pieces),
            }
            for hit in chat.hits
        ],
        "further": chat.further,
    }


def _entry(text: str) -> int:
    """Reads the number of an entry. Raises `ValueError`."""
    number = int(text)
    if not 0 < number < 2**63:
        raise ValueError
    return number
