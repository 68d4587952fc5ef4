"""The tools that one reply may use: those that its chat has on and its owner may use."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from chat.generation.chat_search import search_for
from chat.models import Generation, Tool, ToolCallState
from chat.providers import base
from chat.tools.base import Caller
from chat.tools.base import Tool as Runnable
from chat.tools.registry import own_tools
from chat.tools.remote import remote_tool
from chatproject.crypto import UnreadableSecretError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Toolbox:
    """`asking` has the names of the tools whose calls need an approval. `approvals` is, for each name, what
    an approval for the chat holds for. Tools that the provider runs are not in `tools`."""

    tools: Mapping[str, Runnable] = field(default_factory=dict)
    asking: frozenset[str] = frozenset()
    approvals: Mapping[str, str] = field(default_factory=dict)
    caller: Caller = field(default_factory=Caller)
    searches_web: bool = False  # the provider may search the web

    @property
    def offered(self) -> list[base.Tool]:
        """Returns the definitions for a model."""
        return [base.Tool(tool.name, tool.description, tool.parameters) for tool in self.tools.values()]

    def approves(self, name: str, approval: str) -> bool:
        """Returns whether this approval is for the tool as it is now. One that is not here is found later."""
        return name not in self.tools or approval in approvals_of(self.tools[name])

    def state_of(self, name: str) -> ToolCallState:
        """Returns the first state of a call of this tool."""
        return ToolCallState.ASKED if name in self.asking else ToolCallState.APPROVED


def toolbox_of(generation: Generation) -> Toolbox:
    """Returns the tools of a reply. One unit of work, without a query if the chat has none on."""
    conversation = generation.conversation
    if not conversation.tools:
        return Toolbox()
    chosen = set(conversation.tools)
    rows = [row for row in Tool.objects.usable_by(conversation.owner) if row.name in chosen]
    searches = [row for row in rows if row.is_search]
    rows = [row for row in rows if not row.is_search]
    found = {row.name: tool for row in rows if (tool := runnable(row)) is not None}
    approvals = {name: approval_of(tool) for name, tool in found.items()}
    approved = set(conversation.approved_tools or ())
    held = {name for name, tool in found.items() if not approved.isdisjoint(approvals_of(tool))}
    asking = {row.name for row in rows if row.must_ask and row.name not in held}
    caller = Caller(search_for(conversation.owner_id, conversation.pk))
    return Toolbox(found, frozenset(asking), approvals, caller, bool(searches))


def runnable(row: Tool) -> Runnable | None:
    """Returns the tool of this row; None if the package that offered it is not installed any more, or if the
    secrets of its server cannot be read."""
    if row.server is None:
        return own_tools().get(row.name)
    try:
        return remote_tool(row.server.server(), row.name, row.definition, row.title)
    except UnreadableSecretError:
        logger.error("The headers of tool server %s cannot be read. Type them again.", row.server)
        return None


def approval_of(tool: Runnable) -> str:
    """Returns what an approval for a chat holds for."""
    return f"{tool.name}:{tool.fingerprint}"


def approvals_of(tool: Runnable) -> tuple[str, str]:
    """Returns the approvals that hold for this tool: the present one, and that of version 0.1."""
    return approval_of(tool), f"{tool.name}:{tool.former_fingerprint}"
