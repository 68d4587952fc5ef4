"""Runs the calls of one step: each is committed as started before, and as ended after it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from chat.generation.tool_runs import end_tool_call, start_tool_calls, words_of
from chat.generation.toolbox import Toolbox
from chat.live.tool_call_lines import state_line
from chat.models import Generation, ToolCallState, ToolRun
from chat.parts import ToolCall, storable
from chat.tools.execute import execute
from chat.translatable import translatable as _

logger = logging.getLogger(__name__)

MOST_CALLS = 20  # of one step
AT_ONCE = 8
_TOO_MANY = _("Too many tool calls at once. This one was not run.")
_CHANGED = _("This tool was changed after the tool call was approved. The tool call was not run.")

type Commit = Callable[..., Awaitable[Any]]  # runs a unit of database work


def tool_calls_of(
    generation: Generation, step: int, calls: Mapping[int, ToolCall], tools: Toolbox
) -> list[ToolRun]:
    """Returns unsaved rows for the calls of a step."""
    rows = []
    for count, (number, call) in enumerate(calls.items()):
        row = ToolRun(
            generation_id=generation.pk,
            step=step,
            number=number,
            call_id=call.id,
            name=call.name[:200],
            arguments=call.arguments,
            state=tools.state_of(call.name),
            approval=tools.approvals.get(call.name, ""),
        )
        if count >= MOST_CALLS:
            row.state, row.result = ToolCallState.FAILED, _TOO_MANY
        rows.append(row)
    return rows


async def run_tool_calls(
    commit: Commit, calls: Sequence[ToolRun], tools: Toolbox, append: Callable[[str], None]
) -> str:
    """Runs the approved calls, and appends the lines of all to the output. Returns
    "continue", or with nothing run "stopped" or "lost" (`start_tool_calls`). If it is cancelled,
    `close_tool_calls` ends the started ones."""
    ready = []
    for call in calls:
        if call.state != ToolCallState.APPROVED:
            continue
        if call.approval and not tools.approves(call.name, call.approval):
            call.state, call.result = ToolCallState.FAILED, _CHANGED
            await commit(end_tool_call, call.pk, call.state, call.result)
        else:
            ready.append(call)
    started: set[int] | str = set()
    if ready:
        started = await commit(start_tool_calls, ready[0].generation_id, [call.pk for call in ready])
    if isinstance(started, str):
        return started
    slots = asyncio.Semaphore(AT_ONCE)

    async def run(call: ToolRun) -> None:
        async with slots:
            begun = asyncio.get_running_loop().time()
            ended = await execute(tools.tools.get(call.name), call.name, call.arguments, tools.caller)
            seconds = round(asyncio.get_running_loop().time() - begun, 3)
        text = storable(ended.text)
        await commit(end_tool_call, call.pk, ended.state, text)
        append(state_line(call.number, ended.state, text, seconds))

    for call in calls:
        if call.pk in started:
            append(state_line(call.number, "started"))
        else:
            if call.state not in ("declined", "failed", "done"):
                call.state = ToolCallState.UNKNOWN
            append(state_line(call.number, call.state, words_of(call), call.seconds))
    async with asyncio.TaskGroup() as group:
        for call in calls:
            if call.pk in started:
                group.create_task(run(call))
    return "continue"
