"""Searches the chats of the user for whom a tool runs."""

from __future__ import annotations

from chat.tools.base import Caller, ToolError


async def search_my_chats(query: str, person: Caller) -> str:
    """Searches the other chats of the person with this assistant, and returns the titles and the passages
    that were found, the newest first. `query` is a few words that all occur in one message; "quotation marks"
    find a phrase."""
    if person.search is None:
        raise ToolError("There is nobody whose chats could be searched.")
    return await person.search(query)
