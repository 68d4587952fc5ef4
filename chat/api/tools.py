"""Tools that models may call, and decisions on their calls."""

from __future__ import annotations

from typing import Any

from ninja import Path, Router

from chat.access import message_for
from chat.actions.tool_call import Decision, decide_tool_call
from chat.api import schemas
from chat.api.resources import message_json
from chat.api.routing import REFUSALS, ApiRequest, Token
from chat.database import run_unit, run_write
from chat.models import Scope, Tool, User

router = Router(tags=["Tools"])


@router.get(
    "/tools",
    auth=Token(Scope.READ),
    response={200: schemas.ToolList, **REFUSALS},
    operation_id="listTools",
    summary="List tools",
)
async def list_tools(request: ApiRequest) -> dict[str, Any]:
    """Returns the tools that you may switch on: with `tools` of a prompt or of a chat."""
    return await run_unit(_tools, request.auth.user)


@router.post(
    "/tool-calls/{int:call_id}/approve",
    auth=Token(Scope.CHAT),
    response={200: schemas.Message, **REFUSALS},
    operation_id="approveCall",
    summary="Approve a tool call",
)
async def approve(request: ApiRequest, call_id: Path[int], body: schemas.Approval) -> dict[str, Any]:
    """Lets a call run that waits for your decision. The reply goes on after the last decision. Returns the
    reply."""
    decision = Decision.FOR_CHAT if body.for_chat else Decision.ONCE
    return await run_write(_decided, request.auth.user, call_id, decision)


@router.post(
    "/tool-calls/{int:call_id}/decline",
    auth=Token(Scope.CHAT),
    response={200: schemas.Message, **REFUSALS},
    operation_id="declineCall",
    summary="Decline a tool call",
)
async def decline(request: ApiRequest, call_id: Path[int]) -> dict[str, Any]:
    """Tells the model that you declined the call. The reply goes on after the last decision. Returns the
    reply."""
    return await run_write(_decided, request.auth.user, call_id, Decision.DECLINE)


def _tools(user: User) -> dict[str, Any]:
    items = [
        {"name": tool.name, "title": str(tool), "description": tool.description, "asks": tool.asks}
        for tool in Tool.objects.usable_by(user)
    ]
    return {"items": items}


def _decided(user: User, call_id: int, decision: Decision) -> dict[str, Any]:
    message = decide_tool_call(user, call_id, decision)
    return message_json(message_for(user, message.pk))
