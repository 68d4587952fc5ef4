"""Produces one reply, from the claim of its generation to its terminal state."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from django.db import DatabaseError, DataError, IntegrityError, OperationalError
from django.utils import timezone

from chat.database import run_unit, run_write
from chat.generation.context import NotSentError, Prepared, StepInput
from chat.generation.endpoint_queue import BusyError, pause_if_asked
from chat.generation.fallback import fall_back
from chat.generation.finish import SERVER_STOPPED, finish
from chat.generation.instructions import Instruction
from chat.generation.journal import Journal, Record
from chat.generation.lease import claim
from chat.generation.output import Output
from chat.generation.result import BROKEN, TOO_MANY_STEPS, Result, kind_of
from chat.generation.step_reader import StepReader
from chat.generation.summaries import Summaries
from chat.generation.titles import TITLED
from chat.generation.tool_calls import Commit, run_tool_calls, tool_calls_of
from chat.generation.tool_runs import commit_step, resumed
from chat.generation.toolbox import Toolbox, toolbox_of
from chat.generation.turns import turns_of
from chat.live.hub import Hub
from chat.live.pubsub import Publish, PubSub
from chat.live.reply_log import TOOL_CALL, Segment
from chat.live.search_lines import (
    searches_in,
)
from chat.live.tool_call_lines import (
    opaque_by_step,
    parts_of,
    segments_of,
    steps_before,
    without_open_tool_calls,
)
from chat.metrics import OTHER, EndedReply, Metrics
from chat.models import Generation, Status, ToolRun
from chat.parts import ToolCall, loaded
from chat.providers.base import CONTINUE_PROMPT, Turn
from chat.providers.errors import (
    ConnectionFailedError,
    ContextLengthError,
    ProviderError,
    TimeoutExceededError,
)
from chat.providers.events import (
    Outcome,
    Usage,
)
from chat.tools.web_search import MOST_SEARCHES

logger = logging.getLogger(__name__)

MAX_STEPS = 16  # of one reply; the model cannot call a tool in the last one
LESS = 0.6  # the part of a request that was too long which the second request may have, at most
_ESSENTIAL = ("first_token_at", "first_text_at", "error_code", "error_message", "error_detail")
BUSY_SECONDS = (0.02, 0.05, 0.1, 0.25)  # between attempts to claim; the last one is repeated
SAVE_RETRY_SECONDS = (0.2, 0.5, 1, 2, 5, 10, 20, 30, 30, 30)


class Run:
    """The runner owns it as one task. `stop` ends the reply as stopped, `interrupt` as interrupted because
    the server stops, and `abandon` ends the task without a write because the lease was lost."""

    def __init__(
        self,
        generation_id: UUID,
        hub: Hub,
        pubsub: PubSub,
        journal: Journal,
        metrics: Metrics,
        summaries: Summaries,
        file_threads: Executor,
        claimed: Generation | None = None,
    ) -> None:
        self._summaries, self._file_threads = summaries, file_threads
        self.id = generation_id
        self._hub, self._pubsub = hub, pubsub
        self.waiting: list[UUID] = []  # at the end: the queued generations to start next
        self.untitled: UUID | None = None  # at the end: the conversation that is to get a title
        self._claimed = claimed
        self._journal, self._metrics = journal, metrics
        self._began_at = timezone.now()
        self._output = Output(generation_id, hub, pubsub)
        self._log = self._output.log
        self._reason: str | None = None
        self._instructions: Sequence[Instruction] | None = None  # of the steps before it waited
        self._producing: asyncio.Task[None] | None = None
        self._tool_calls: Mapping[int, ToolCall] = {}  # of the last step
        self._message_step = 1  # the step within the message, which may continue another one

    def stop(self) -> None:
        self._end("stopped")

    def interrupt(self) -> None:
        self._end("interrupted")

    def abandon(self) -> None:
        self._end("abandoned")

    def _end(self, reason: str) -> None:
        if self._reason is None:
            self._reason = reason
            if self._producing is not None:
                self._producing.cancel()

    async def __call__(self) -> None:
        """Runs to the end. Returns at once if the generation cannot be claimed."""
        # Viewers in this process may already have a copy of the reply, which another process produced so far.
        self._hub.logs.setdefault(self.id, self._log)
        self._pubsub.produce(self.id, on_stop=self.stop)
        try:
            publish = self._pubsub.conversation_changed
            generation = self._claimed or await self._claim(publish)
            if generation is None:
                return
            result = Result()
            record = Record(self.id, self._log, on_stop=self.stop, on_lost=self.abandon)
            self._journal.open(record)
            try:
                self._producing = asyncio.create_task(self._produce(generation, record, result))
                if self._reason is not None:
                    self._producing.cancel()
                await asyncio.wait([self._producing])
                self._conclude(result)
                if self._reason not in ("abandoned", "waiting"):
                    await self._save(generation, record, result)
            finally:
                if self._producing is not None:
                    self._producing.cancel()
                self._journal.close(self.id)
        finally:
            self._pubsub.forget(self.id)
            if self._hub.logs.get(self.id) is self._log:
                del self._hub.logs[self.id]

    async def _claim(self, publish: Publish) -> Generation | None:
        """Returns the claimed generation. A claim waits for no lock of another process, so it is repeated. A
        stopped one is claimed too, so that it ends."""
        delays = iter(BUSY_SECONDS)
        while True:
            try:
                return await run_write(claim, self.id, publish)
            except BusyError:
                if self._reason not in (None, "stopped"):
                    return None
                await asyncio.sleep(next(delays, BUSY_SECONDS[-1]))

    async def _produce(self, generation: Generation, record: Record, result: Result) -> None:
        """Makes the steps of the reply, and fills `result`."""
        calls: list[ToolRun] | None = await self._resume(generation, record, result)
        tools = await run_unit(toolbox_of, generation) if generation.conversation.tools else Toolbox()
        while True:
            if calls:
                decision = await run_tool_calls(
                    self._committer(generation.pk), calls, tools, partial(self._output.append, TOOL_CALL)
                )
                if decision != "continue":
                    self._end_between_steps(decision)
                    return
                self._message_step += 1
            if self._output.is_full:
                result.set(Status.LENGTH, "", "")
                return
            if not await self._step(generation, record, result, tools):
                return
            calls = await self._tool_calls_of(generation, record, result, tools)
            if calls is None:
                return

    async def _resume(self, generation: Generation, record: Record, result: Result) -> list[ToolRun]:
        """Fills the log with what a reply begins with: the reply that it continues, or its own output before
        it waited. Returns the calls that are to be run first."""
        if generation.message.parts:
            before = await run_unit(resumed, generation)
            self._log.extend_from(0, before.segments)
            record.committed = self._log.length
            result.steps = before.steps
            self._instructions = before.instructions
            parts = result.extract_notices(loaded(generation.message.parts))
            result.opaque = opaque_by_step(parts)
            self._message_step = steps_before(parts) + 1
            self._output.wake()
            return before.calls
        continued = generation.continues
        if continued is not None and continued.has_steps:
            parts = without_open_tool_calls(loaded(continued.parts))
            self._message_step = steps_before(parts) + 1
            result.opaque = [it for it in opaque_by_step(parts) if it[0] < self._message_step]
            for kind, text in segments_of(parts):
                self._output.append(kind, text)
        elif continued is not None:
            self._output.append("text", continued.text)
        return []

    async def _step(self, generation: Generation, record: Record, result: Result, tools: Toolbox) -> bool:
        """Makes one call to the provider, and reads its stream into the log. Returns whether the step ended
        with calls of tools that are to be run."""
        step_input = self._step_input(generation, result, tools)
        if result.steps:
            sent = result.sent.instructions if result.sent else self._instructions
            step_input = replace(step_input, instructions=sent)
        result.has_output, result.outcome, result.is_asking, result.usage = False, None, False, Usage()
        try:
            result.sent = await self._prepare(generation, step_input)
        except NotSentError as error:
            result.set(Status.FAILED, error.code, str(error))
            return False
        try:
            try:
                await self._read(generation, result.sent, record, result)
            except ContextLengthError:
                if not await self._shortened(generation, result, step_input):
                    raise
                await self._read(generation, result.sent, record, result)
        except ProviderError as error:
            cut = isinstance(error, ConnectionFailedError | TimeoutExceededError)
            status = Status.INTERRUPTED if cut and result.first_token_at else Status.FAILED
            result.set(status, error.code, str(error), error.detail)
            logger.warning("The provider failed: %s %s", error.code, kind_of(error))
            self._metrics.request_failed(result.sent.endpoint.kind, error.code)
            await pause_if_asked(result.sent.endpoint.slug, error.code, error.retry_after or 0.0)
            if result.first_token_at is None and not result.steps and await run_write(fall_back, generation):
                logger.info("The fallback of the model answers.")
                return await self._step(generation, record, result, tools)
            return False
        return bool(result.outcome is Outcome.TOOL_CALLS and tools.tools)

    def _step_input(self, generation: Generation, result: Result, tools: Toolbox) -> StepInput:
        segments = self._log.since(0)
        searches = max(0, MOST_SEARCHES - searches_in(segments)) if tools.searches_web else 0
        if not tools.tools or not any(kind == TOOL_CALL for kind, _text in segments):
            return StepInput(tools.offered, searches=searches)
        turns = turns_of(
            "assistant",
            self._log.text(),
            parts_of(segments, result.opaque),
            is_own=True,
            with_tool_calls=True,
        )
        if turns and turns[-1].role == "assistant":
            turns.append(Turn("user", CONTINUE_PROMPT))
        return StepInput(tools.offered, turns, may_call=len(result.steps) + 1 < MAX_STEPS, searches=searches)

    async def _tool_calls_of(
        self, generation: Generation, record: Record, result: Result, tools: Toolbox
    ) -> list[ToolRun] | None:
        """Commits the step with its calls. Returns the calls; None if the reply ends here or waits for an
        approval."""
        result.keep_sources()
        step = result.step(generation)
        if step.number >= MAX_STEPS:
            result.set(Status.LENGTH, "steps", TOO_MANY_STEPS)
            return None
        calls = tool_calls_of(generation, step.number, self._tool_calls, tools)
        async with self._journal.ending(record):
            decision = await self._committer(generation.pk)(
                commit_step,
                generation,
                step,
                calls,
                self._log.since(0),
                result.opaque,
                publish=self._pubsub.conversation_changed,
                notices=result.all_notices,
                sent_request=result.sent_request(generation),
            )
        if decision != "continue":
            self._end_between_steps(decision)
            return None
        result.steps.append(step)
        result.is_asking = False
        return calls

    def _end_between_steps(self, decision: str) -> None:
        """Ends the task between two steps. Nothing is written if the reply waits without this process, or
        is not this process's any more."""
        reasons = {"wait": "waiting", "stopped": "stopped", "lost": "abandoned"}
        self._reason = self._reason or reasons[decision]

    def _committer(self, generation_id: UUID) -> Commit:
        """Returns a function that commits a unit, and tries again while the database cannot be reached."""

        async def commit(unit: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            for delay in (*SAVE_RETRY_SECONDS, None):
                try:
                    return await asyncio.shield(run_write(unit, *args, **kwargs))
                except OperationalError as error:
                    logger.error(
                        "A tool call of generation %s could not be written: %s", generation_id, error
                    )
                    if delay is None:
                        raise
                    await asyncio.sleep(delay)
            raise AssertionError

        return commit

    async def _prepare(
        self, generation: Generation, step_input: StepInput, *, at_most: float | None = None
    ) -> Prepared:
        publish = self._pubsub.conversation_changed
        return await self._summaries.prepare(generation, publish=publish, at_most=at_most, step=step_input)

    async def _shortened(self, generation: Generation, result: Result, step_input: StepInput) -> bool:
        """Prepares a shorter request after the provider refused one as too long, which costs nothing. Returns
        false if there is none."""
        refused = result.sent
        if refused is None or result.has_output:
            return False
        shorter = await self._prepare(generation, step_input, at_most=refused.estimate * LESS)
        if (shorter.sent_from, shorter.estimate) == (refused.sent_from, refused.estimate):
            return False
        logger.info("The request was too long for the model. It is sent once more with fewer messages.")
        result.sent = shorter
        return True

    async def _read(self, generation: Generation, prepared: Prepared, record: Record, result: Result) -> None:
        reader = StepReader(
            generation,
            self._message_step,
            self._output,
            result,
            self._metrics,
            lambda: len(self._hub.logs),
            self._file_threads,
        )
        try:
            await reader.read(prepared, self._journal, record)
        finally:
            self._tool_calls = reader.tool_calls

    def _conclude(self, result: Result) -> None:
        """Sets the outcome of a task that was ended, that failed, or that produced no text."""
        assert self._producing is not None
        if self._reason == "stopped":
            result.set(Status.STOPPED, "", "")
        elif self._reason == "interrupted":
            result.set(Status.INTERRUPTED, "server_stopped", SERVER_STOPPED)
        elif not self._producing.cancelled() and (error := self._producing.exception()):
            logger.error("Generation %s failed unexpectedly.", self.id, exc_info=error)
            result.set(Status.FAILED, "internal", BROKEN)
        elif result.error_code or self._log.text().strip() or result.made:
            return
        elif result.status in (Status.COMPLETE, Status.LENGTH):
            result.set_empty(self._log)

    async def _save(self, generation: Generation, record: Record, result: Result) -> None:
        """Writes the end. Tries again while the database cannot be reached; the write is not cancelled. Gives
        up after some minutes: then the sweep ends the generation from the journal."""
        fields = result.fields(generation.model)
        is_stored_whole = True
        for delay in (*SAVE_RETRY_SECONDS, None):
            try:
                segments: list[Segment] = self._log.since(0)
                async with self._journal.ending(record):
                    unit = run_write(
                        finish,
                        generation,
                        result.status,
                        segments,
                        publish=self._pubsub.conversation_changed,
                        show=self._pubsub.committed,
                        opaque=result.opaque,
                        last_step=result.step(generation) if result.steps and result.is_asking else None,
                        notices=result.all_notices,
                        has_files=bool(result.made or result.steps),
                        sent_request=result.sent_request(generation) if is_stored_whole else None,
                        **fields,
                    )
                    self.waiting = await asyncio.shield(unit)
            except (DataError, IntegrityError, ArithmeticError) as error:  # SQLite raises the last one
                # The provider sent a number or a word that no column can hold. The reply ends without it.
                logger.error("The usage of generation %s could not be stored: %s", self.id, error)
                fields = {name: fields[name] for name in _ESSENTIAL}
                is_stored_whole = False
                result.opaque = []
            except DatabaseError as error:
                logger.error("The end of generation %s could not be written: %s", self.id, error)
                if delay is None:
                    return
                await asyncio.sleep(delay)
            else:
                if result.sent and result.sent.wants_title and result.status in TITLED:
                    self.untitled = generation.conversation_id
                try:
                    self._metrics.reply_ended(self._ended(generation, result, fields))
                except Exception:
                    logger.exception("The end of generation %s was not counted.", self.id)
                return

    def _ended(self, generation: Generation, result: Result, fields: dict[str, Any]) -> EndedReply:
        """Returns what the metrics count of a reply. `fields` is what was stored of it."""
        model, first = generation.model, result.first_token_at
        # A reply that starts with its prompt does not wait, and its `queued_at` is still an expression.
        queued = 0.0 if self._claimed else (self._began_at - generation.queued_at).total_seconds()
        return EndedReply(
            outcome=str(result.status),
            provider=result.sent.endpoint.kind if result.sent else OTHER,
            model=model.name if model else OTHER,
            queued=queued,
            first_token=(first - self._began_at).total_seconds() if first else None,
            total=(timezone.now() - self._began_at).total_seconds(),
            input_tokens=fields.get("input_tokens") or 0,
            cached_input_tokens=fields.get("cached_input_tokens") or 0,
            output_tokens=fields.get("output_tokens") or 0,
            reasoning_tokens=fields.get("reasoning_tokens") or 0,
            cost=float(fields.get("cost") or 0),
        )
