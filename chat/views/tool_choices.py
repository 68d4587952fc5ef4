"""What the page shows of the tools that are on in a chat."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext

from chat.models import ChatModel, Conversation, Tool, User
from chat.models.prepared import Prepared

_usable = Prepared(lambda user: Tool.objects.usable_by(User(pk=user)), int)


def tool_choices(user: User, conversation: Conversation, models: Iterable[ChatModel]) -> list[dict[str, Any]]:
    """Returns the tools that this user may switch on. The page hides the web search while the chosen model
    has none (`tools.css`)."""
    chosen = set(conversation.tools or ())
    searches = any(model.target.searches_web for model in models)
    return [
        {
            "name": tool.name,
            "title": _title(tool),
            "description": _first_sentence(gettext(tool.description)) if tool.description else "",
            "asks": tool.must_ask,
            "is_on": tool.name in chosen,
            "is_search": tool.is_search,
        }
        for tool in _usable.all(user.pk)
        if not tool.is_search or searches
    ]


def _title(tool: Tool) -> str:
    """Returns the title. That of a server's tool begins with the name of the server, which an administrator
    gave it."""
    if tool.server is not None:
        return f"{tool.server}: {tool.title or tool.definition['own_name']}"
    return gettext(tool.title) if tool.title else tool.name


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).split(". ")[0].rstrip(".")[:160] + "."
