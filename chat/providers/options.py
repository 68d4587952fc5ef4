"""Which options of a request a provider has."""

from __future__ import annotations

from chat.providers.base import ChatRequest
from chat.providers.errors import UnsupportedOptionError


def refuse(request: ChatRequest, *names: str) -> None:
    """Raises `UnsupportedOptionError` for the first of these options that the request sets."""
    for name in names:
        if getattr(request, name) not in (None, (), [], ""):
            raise UnsupportedOptionError(name)


def refuse_system_turns(request: ChatRequest) -> None:
    """Raises `UnsupportedOptionError` for an instruction in the middle of a conversation."""
    if any(turn.role == "system" for turn in request.turns):
        raise UnsupportedOptionError("system message after the first user message")
