"""The web search of the providers. A user switches it on like a tool, but the provider runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chat.tools.base import Caller, Tool, ToolError
from chat.translatable import translatable as _

NAME = "web_search"
MOST_SEARCHES = 5  # of one reply, if the provider has a limit; each search costs money


async def _run(_arguments: Mapping[str, Any], _caller: Caller) -> str:
    raise ToolError("The provider makes the searches.")


WEB_SEARCH = Tool(
    NAME,
    _("Web search"),
    "",
    {"type": "object", "properties": {}},
    _run,
    about=_("The provider of the model searches the web. It costs extra for each search."),
    asks=False,
    enabled=True,
)
