"""The tools of this server: the built-in ones, and those of installed packages.

A package offers functions by the entry point group `steady.tools`:

    [project.entry-points."steady.tools"]
    warehouse = "our_tools.warehouse:stock_of"

The value is a function with a typed signature, or a `chat.tools.base.Tool`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from chat.tools.base import Tool, tool_of
from chat.tools.calculator import calculator
from chat.tools.clock import current_time
from chat.tools.own_chats import search_my_chats
from chat.tools.web_page import read_web_page
from chat.tools.web_search import WEB_SEARCH
from chat.translatable import translatable as _

logger = logging.getLogger(__name__)

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # the names that all providers accept


@cache
def own_tools() -> Mapping[str, Tool]:
    """Returns the tools of this server by name. A tool that cannot be loaded is logged and left out."""
    tools = [
        tool_of(
            current_time,
            title=_("Current time"),
            about=_("Tells the date and the time."),
            asks=False,
            enabled=True,
        ),
        tool_of(
            calculator,
            title=_("Calculator"),
            about=_("Calculates exactly, where models guess."),
            asks=False,
            enabled=True,
        ),
        tool_of(
            search_my_chats,
            title=_("Search in my chats"),
            about=_("Finds passages in your other chats. The model gets them."),
            asks=False,
            enabled=True,
        ),
        tool_of(
            read_web_page,
            title=_("Read a web page"),
            about=_("Opens an address of the public web and reads its text."),
            asks=True,
            enabled=False,
            seconds=20.0,
        ),
        WEB_SEARCH,
    ]
    found = {tool.name: tool for tool in tools}
    for entry in entry_points(group="steady.tools"):
        try:
            value = entry.load()
            tool = value if isinstance(value, Tool) else tool_of(value)
        except Exception:  # of any kind, because the package is not ours
            logger.exception("The tool %s of an installed package could not be loaded.", entry.name)
            continue
        if tool.name in found or not NAME.fullmatch(tool.name):
            logger.error("The tool %r of an installed package has an invalid or used name.", tool.name)
            continue
        found[tool.name] = tool
    return found
