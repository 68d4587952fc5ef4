"""Approves or declines a call of a tool that waits for it."""

from __future__ import annotations

from enum import StrEnum

from django.db import transaction

from chat.access import tool_run_for
from chat.actions.errors import ConflictError
from chat.generation.lease import database_time, touch
from chat.models import Conversation, Generation, Message, Status, ToolCallState, ToolRun, User
from chat.runtime import current
from chat.translatable import translatable as _


class Decision(StrEnum):
    ONCE = "once"
    FOR_CHAT = "chat"  # also later calls of this tool, while its definition stays the same
    DECLINE = "decline"


def decide_tool_call(user: User, call_id: int, decision: Decision) -> Message:
    """Approves or declines a call, and lets the reply go on once no call waits any more. The same decision
    again changes nothing. Raises `NotFoundError`, and `ConflictError` if the call does not wait for another
    decision."""
    with transaction.atomic():
        call, message = tool_run_for(user, call_id, write=True)
        state = ToolCallState.DECLINED if decision == Decision.DECLINE else ToolCallState.APPROVED
        if call.state != ToolCallState.ASKED or message.generation.status != Status.WAITING:
            was_declined = call.state == ToolCallState.DECLINED
            if was_declined == (decision == Decision.DECLINE) and call.state != ToolCallState.SKIPPED:
                return message
            raise ConflictError(_("This tool call does not wait for a decision any more."))
        waiting = ToolRun.objects.filter(generation=call.generation_id, state=ToolCallState.ASKED)
        decided = waiting.filter(pk=call.pk)
        if decision == Decision.FOR_CHAT and call.approval:
            _approve_for_chat(message.conversation, call)
            decided = waiting.filter(approval=call.approval)
        decided.update(state=state)
        touch(message.conversation, message, current().pubsub.conversation_changed)
        if not waiting.exists():
            _continue(message.generation)
    return message


def _approve_for_chat(conversation: Conversation, call: ToolRun) -> None:
    approved = conversation.approved_tools or []
    if call.approval not in approved:
        conversation.approved_tools = [*approved, call.approval]
        conversation.save(update_fields=["approved_tools"])


def _continue(generation: Generation) -> None:
    """Queues the reply again: this process or another one takes it up where it waited."""
    waiting = Generation.objects.filter(pk=generation.pk, status=Status.WAITING, owner="")
    waiting.update(status=Status.QUEUED, queued_at=database_time(), started_at=None)
    transaction.on_commit(lambda: current().runner.start_generation(generation.pk))
