"""The calls of tools in the database: each write of a run that uses tools.

A call is committed as `started` before its tool runs, by an update that only the owner of the generation's
lease can make, and only once. So no call runs twice. The call of a process that ended becomes `unknown`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.utils import timezone

from chat.generation.instructions import Instruction
from chat.generation.lease import locked_conversation, touch
from chat.live.process import process_name
from chat.live.pubsub import Publish
from chat.live.reply_log import TOOL_CALL, Segment
from chat.live.tool_call_lines import RUNNING, parts_of, results_in, state_line
from chat.models import Generation, JournalEntry, Message, SentRequest, Status, Step, ToolCallState, ToolRun
from chat.models.prepared_writes import insert
from chat.parts import NoticePart, Opaque, SourcePart, TextPart, stored
from chat.translatable import translatable as _

DECLINED = _("The person declined this tool call. Do not repeat it. Continue without it, or ask.")
UNKNOWN = _(
    "The result of this tool call is unknown: it was interrupted while it ran, and it may have "
    "had an effect. It was not repeated."
)
SKIPPED = _("This tool call was not run: the reply ended before it.")
_WORDS = {"declined": DECLINED, "unknown": UNKNOWN, "skipped": SKIPPED}


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a generation has after an approval: its output, its ended steps, the calls of the last one, and
    the system prompts that were sent."""

    segments: list[Segment] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    calls: list[ToolRun] = field(default_factory=list)
    instructions: list[Instruction] | None = None


def commit_step(
    generation: Generation,
    step: Step,
    calls: Sequence[ToolRun],
    segments: Iterable[Segment],
    opaque: Sequence[tuple[int, Opaque]],
    *,
    publish: Publish,
    notices: Sequence[NoticePart | SourcePart] = (),
    sent_request: SentRequest | None = None,
) -> str:
    """Commits a step that ended with these calls. Returns "continue", or "wait" if a call needs an approval:
    then the generation waits without an owner, its journal and message have the output so far, and the
    message has what people are told of the steps (`notices`), from which the reply takes it up. Commits
    nothing and returns "stopped" if it is to stop, or "lost" if this process does not hold it any more."""
    with transaction.atomic():
        conversation = locked_conversation(generation.pk)
        mine, lost = _held(generation.pk)
        if conversation is None or lost:
            return lost or "lost"
        step.save(force_insert=True)
        ToolRun.objects.bulk_create(calls)
        if not any(call.state == ToolCallState.ASKED for call in calls):
            return "continue"
        mine.update(status=Status.WAITING, owner="", heartbeat_at=None)
        if sent_request is not None:
            keep_request(sent_request)
        output = list(segments)
        JournalEntry.objects.filter(generation=generation).delete()
        JournalEntry.objects.create(generation=generation, start=0, segments=output)
        message = Message.objects.get(generation=generation)
        parts = parts_of(output, opaque)
        message.parts = stored([*parts, *notices])
        message.text = "".join(part.text for part in parts if isinstance(part, TextPart))
        touch(conversation, message, publish)
    return "wait"


def resumed(generation: Generation) -> Resumed:
    """Returns the state of a generation that was queued again after an approval. One unit of work."""
    entries = JournalEntry.objects.filter(generation=generation).order_by("start")
    steps = list(generation.steps.all())
    last = steps[-1].number if steps else 0
    sent = SentRequest.objects.filter(generation=generation).first()
    return Resumed(
        [Segment(kind, text) for entry in entries for kind, text in entry.segments],
        steps,
        list(generation.tool_runs.filter(step=last)),
        [Instruction(*each) for each in sent.system] if sent else None,
    )


def keep_request(sent: SentRequest) -> None:
    """Stores the record of the last request, in place of that of an earlier step."""
    insert([sent], replaces="generation")


def start_tool_calls(generation_id: UUID, ids: Collection[int]) -> set[int] | str:
    """Commits these approved calls as started. Returns the ids of those that this process may run now. Starts
    none and returns "stopped" if the generation is to stop, or "lost" if this process does not hold it."""
    with transaction.atomic():
        _mine, lost = _held(generation_id)
        if lost:
            return lost
        calls = ToolRun.objects.filter(pk__in=ids, generation=generation_id, state=ToolCallState.APPROVED)
        started = set(calls.values_list("pk", flat=True))
        calls.update(state=ToolCallState.STARTED, started_at=timezone.now())
        return started


def _held(generation_id: UUID) -> tuple[models.QuerySet[Generation], str]:
    """Locks the generation. Returns it, and "" if this process goes on with it."""
    mine = Generation.objects.filter(pk=generation_id, owner=process_name(), status=Status.RUNNING)
    is_stopped = mine.select_for_update().values_list("stop_requested", flat=True).first()
    return mine, "lost" if is_stopped is None else "stopped" if is_stopped else ""


def end_tool_call(call_id: int, state: str, result: str) -> bool:
    """Commits the end of a call. Returns false if it has ended already."""
    live = ToolRun.objects.filter(pk=call_id, state__in=RUNNING)
    return bool(live.update(state=state, result=result, ended_at=timezone.now()))


def close_tool_calls(generation_id: UUID, segments: Iterable[Segment]) -> list[Segment]:
    """Returns the output of a reply that ends now, with a result for each of its calls: that of the database
    where the journal lacks it. Ends the calls that have not ended."""
    output = list(segments)
    if not any(kind == TOOL_CALL for kind, _text in output):
        return output
    known = results_in(output)
    for call in ToolRun.objects.filter(generation=generation_id):
        if call.state in RUNNING:
            was_started = call.state == ToolCallState.STARTED
            call.state = ToolCallState.UNKNOWN if was_started else ToolCallState.SKIPPED
            call.save(update_fields=["state"])
        if call.number not in known:
            words = _WORDS.get(call.state, call.result)
            output.append(Segment(TOOL_CALL, state_line(call.number, call.state, words, call.seconds)))
    # The message has the texts from now on: what is deleted with it is deleted once.
    ToolRun.objects.filter(generation=generation_id).update(arguments="", result="")
    return output


def words_of(call: ToolRun) -> str:
    """Returns the result of a call for the model."""
    return _WORDS.get(call.state, call.result)


def total(steps: Iterable[Step]) -> Mapping[str, Any]:
    """Returns the sums of the usage of these steps, by the names of the columns."""
    names = (
        *("input_estimate", "input_tokens", "output_tokens"),
        *("cached_input_tokens", "reasoning_tokens", "searches"),
    )
    rows = list(steps)
    sums: dict[str, Any] = {name: sum(getattr(step, name) or 0 for step in rows) for name in names}
    return {**sums, "usage_estimated": any(step.usage_estimated for step in rows)}
