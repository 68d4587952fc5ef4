"""Runs one tool call within its limits."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, NamedTuple

import orjson

from chat.tools.base import Caller, Tool, ToolError

logger = logging.getLogger(__name__)

ARGUMENT_CHARS = 100_000


class Ended(NamedTuple):
    """The end of a tool call. `state` is `done` or `failed`. `text` is the result or the reason, for the
    model."""

    state: str
    text: str


async def execute(tool: Tool | None, name: str, arguments: str, caller: Caller) -> Ended:
    """Runs the tool. `tool` is None if there is none of this name. Raises nothing but `CancelledError`."""
    if tool is None:
        return Ended("failed", f"There is no tool {name[:100]!r} here.")
    try:
        values = _parsed(arguments)
        async with asyncio.timeout(tool.seconds):
            text = await tool.run(values, caller)
    except TimeoutError:
        return Ended("failed", f"The tool did not answer within {tool.seconds:g} seconds and was cancelled.")
    except ToolError as error:
        return Ended("failed", _shortened(str(error), tool.most_chars))
    except Exception as error:  # an error in a tool ends the call, not the reply
        logger.exception("The tool %s raised an exception.", tool.name)
        return Ended("failed", f"The tool failed ({type(error).__name__}).")
    return Ended("done", _shortened(text, tool.most_chars))


def _parsed(arguments: str) -> dict[str, Any]:
    if len(arguments) > ARGUMENT_CHARS:
        raise ToolError("The arguments are too long.")
    try:
        values = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        raise ToolError("The arguments are not valid JSON.") from None
    if not isinstance(values, dict):
        raise ToolError("The arguments are not a JSON object.")
    return values


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[:most]}\n\n[Cut: {len(text):,} characters in all, the first {most:,} are shown.]"
