"""Reads the provider's stream of one step into the output of its reply."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import replace
from uuid import UUID

from django.utils import timezone

from chat.database import release_connections
from chat.files.contents import TOO_MANY_FILES, keep_generated_file
from chat.generation.context import Prepared
from chat.generation.endpoint_queue import pause_if_asked
from chat.generation.journal import Journal, Record
from chat.generation.output import Output
from chat.generation.policy import policy_for
from chat.generation.result import CUT, STATUSES, Result
from chat.generation.tool_call_reader import ToolCallReader
from chat.live.reply_log import CITATION, TOOL_CALL, WEB_SEARCH
from chat.live.search_lines import (
    ID_CHARS,
    MOST_KEPT,
    citation_line,
    citations_in,
    search_ids,
    search_line,
)
from chat.live.tool_call_lines import tool_calls_in
from chat.metrics import Metrics
from chat.models import Generation, Status
from chat.parts import Citation, NoticePart, Opaque, ToolCall, WebSearch, storable_part
from chat.pipeline.compose import compose
from chat.providers.events import (
    Finished,
    GeneratedFile,
    Notice,
    Outcome,
    ProviderEvent,
    ReasoningDelta,
    Reset,
    TextDelta,
    ToolCallDelta,
)
from chat.providers.registry import ready_provider
from chat.providers.throttle import Throttle
from chat.sources import MOST_MARKS

MOST_MADE = 10  # files of one reply that are kept


class StepReader:
    """Reads one step. `number` is the number of the step within the message, `running` returns the number of
    replies that run here. The files that the model makes are stored on `file_threads`."""

    def __init__(
        self,
        generation: Generation,
        number: int,
        output: Output,
        result: Result,
        metrics: Metrics,
        running: Callable[[], int],
        file_threads: Executor,
    ) -> None:
        self._generation, self._number, self._result = generation, number, result
        self._output, self._log = output, output.log
        self._metrics, self._running, self._file_threads = metrics, running, file_threads
        before = self._log.since(0)
        self._tool_calls = ToolCallReader(*tool_calls_in(before))
        self._began = self._log.length  # makes the ids of searches unique, which some servers count anew
        self._answer_began = len(self._log.text())
        self._citations, self._searches = citations_in(before), search_ids(before)

    @property
    def tool_calls(self) -> Mapping[int, ToolCall]:
        """Returns the tool calls of the step by their number in the reply."""
        return self._tool_calls.calls

    async def read(self, prepared: Prepared, journal: Journal, record: Record) -> None:
        """Sends the request and reads the stream to its end, at the pace of the journal. Fills the result.
        Raises `ProviderError`."""
        result, endpoint = self._result, prepared.endpoint
        result.set(Status.INTERRUPTED, "cut", CUT)  # until the provider's end marker
        result.is_asking = True
        provider = await ready_provider(endpoint)
        policy = policy_for(prepared.model, endpoint, result.spent)
        stream, meter = compose(provider, prepared.request, policy)
        throttle = Throttle(self._running)
        try:
            async with aclosing(stream) as events:
                async for event in events:
                    before = self._log.length
                    match event:
                        case Finished():
                            self._finish(event)
                            return
                        case Notice("retrying", _, attempt, delay, code):
                            self._metrics.request_failed(endpoint.kind, code, is_retried=True)
                            self._output.show_wait(attempt, delay)
                            await pause_if_asked(endpoint.slug, code, delay)
                        case GeneratedFile(data):
                            await self._store_file(data)
                        case _:
                            self._take(event)
                    if self._output.is_full:
                        result.set(Status.LENGTH, "", "")
                        return
                    await journal.room(record)
                    await throttle.consume(self._log.length - before)
        finally:
            result.usage = meter.usage

    def _take(self, event: ProviderEvent) -> None:
        match event:
            case TextDelta(text):
                self._append("text", text)
            case ReasoningDelta(text):
                self._append("reasoning", text)
            case ToolCallDelta():
                self._append(TOOL_CALL, self._tool_calls.line(event))
            case WebSearch():
                own = replace(event, id=f"{self._began}-{event.id}"[:ID_CHARS])
                if own.id in self._searches or len(self._searches) < MOST_KEPT:
                    self._searches.add(own.id)
                    self._append(WEB_SEARCH, search_line(own))
            case Citation() if self._citations < MOST_MARKS:
                line = citation_line(event, self._answer_began)
                self._citations += bool(line)
                self._output.append(CITATION, line)
            case Opaque():
                self._result.opaque.append((self._number, storable_part(event)))
            case Notice("rejected", reason):
                self._result.rejection = reason
            case Reset():
                pass  # it comes only before the first output, so nothing is void

    def _finish(self, event: Finished) -> None:
        result = self._result
        result.outcome = event.outcome
        result.set(STATUSES[event.outcome], "", "")
        result.finish_reason = event.raw_reason[:100]
        if event.outcome is Outcome.REFUSED and result.rejection:
            result.set(Status.REFUSED, "rejected", result.rejection)

    def _append(self, kind: str, text: str) -> None:
        """Appends output of the model, and notes the times of the first token and the first text."""
        result = self._result
        if result.first_token_at is None and text:
            result.first_token_at = timezone.now()
        result.has_output = result.has_output or bool(text)
        if result.first_text_at is None and text and kind == "text":
            result.first_text_at = timezone.now()
        self._output.append(kind, text)

    async def _store_file(self, data: bytes) -> None:
        """Stores a file that the model made. Returns when it is stored."""
        result = self._result
        result.first_token_at = result.first_token_at or timezone.now()
        result.has_output = True
        result.made += 1
        if result.made > MOST_MADE:
            if result.made == MOST_MADE + 1:
                result.notices.append(NoticePart(TOO_MANY_FILES))
            return
        owner_id, message_id = self._generation.conversation.owner_id, self._generation.message_id
        run = contextvars.copy_context().run  # the log names the generation
        work = asyncio.get_running_loop().run_in_executor(
            self._file_threads, run, store_file, owner_id, message_id, data
        )
        if notice := await work:
            result.notices.append(notice)


def store_file(owner_id: int, message_id: UUID, data: bytes) -> NoticePart | None:
    """As `keep_generated_file`, for a thread that is not one of the database's."""
    try:
        return keep_generated_file(owner_id, message_id, data)
    finally:
        release_connections()
