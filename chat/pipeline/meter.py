"""Counts the delivered output, and stops at limits on tokens and cost."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from functools import cached_property

from chat.parts import WebSearch
from chat.pipeline.policy import STOPPED_BY_US, Events, StreamPolicy
from chat.pipeline.tokens import TokenCounter, request_tokens
from chat.providers.base import ChatRequest
from chat.providers.errors import ProviderError
from chat.providers.events import (
    Finished,
    Outcome,
    ProviderEvent,
    ReasoningDelta,
    Reset,
    TextDelta,
    ToolCallDelta,
    Usage,
)

_LONGEST_COUNTED = 1_000_000  # characters of one piece, because counting blocks the event loop


class Meter:
    """The usage of one stream. It is correct at any moment, also after a stop, an error or a lost
    connection."""

    def __init__(self, request: ChatRequest) -> None:
        self.finished: Finished | None = None
        self._request = request
        self._counter = TokenCounter()
        self._reasoning = TokenCounter()
        self._reported: Usage | None = None
        self._searches: set[str] = set()
        self._has_output = False
        self._failed = False

    @property
    def output_tokens(self) -> int:
        """Returns the estimated tokens of the output so far."""
        return self._counter.tokens

    @property
    def usage(self) -> Usage:
        """Returns the usage that the provider reported, completed by estimates.

        The report on an unfinished answer is incomplete, so the larger of report and estimate is used. An
        answer that failed before its first output has the reported usage, or none.
        """
        reported = self._reported or Usage()
        if len(self._searches) > reported.searches:  # not all providers count them
            reported = replace(reported, searches=len(self._searches))
        if self._failed and not self._has_output:
            return reported
        is_reported = reported.input_tokens is not None and reported.output_tokens is not None
        if is_reported and self.finished and self.finished.raw_reason not in STOPPED_BY_US:
            return reported
        return replace(
            reported,
            input_tokens=self._input_tokens if reported.input_tokens is None else reported.input_tokens,
            output_tokens=max(reported.output_tokens or 0, self._counter.tokens),
            reasoning_tokens=max(reported.reasoning_tokens, self._reasoning.tokens),
            estimated=True,
        )

    @cached_property
    def _input_tokens(self) -> int:
        return request_tokens(self._request)

    def count(self, event: ProviderEvent) -> bool:
        """Counts `event`. Returns True if it extends the answer."""
        match event:
            case TextDelta(text):
                self._grow(text)
            case ReasoningDelta(text):
                self._reasoning.feed(text[:_LONGEST_COUNTED])
                self._grow(text)
            case ToolCallDelta():
                self._grow((event.name or "") + event.arguments)
            case WebSearch(id=search, state="done"):
                self._searches.add(search)
            case WebSearch():
                return False
            case Usage():
                self._reported = event
                return False
            case Finished():
                self.finished = event
                return False
            case Reset():
                self._reset()
                return False
            case _:
                return False
        return True

    def fail(self) -> None:
        """Records that the answer failed."""
        self._failed = True

    def _grow(self, text: str) -> None:
        self._has_output = True
        self._counter.feed(text[:_LONGEST_COUNTED])

    def _reset(self) -> None:
        self._has_output, self._reported = False, None
        self._searches.clear()
        self._counter, self._reasoning = TokenCounter(), TokenCounter()


async def meter(events: Events, policy: StreamPolicy, result: Meter) -> Events:
    """Yields `events` and counts them in `result`.

    If the provider reports no usage, an estimated `Usage` precedes `Finished`. The answer ends with
    `Finished(LENGTH, "limit")` if our own count passes `max_output_tokens`, and with
    `Finished(LENGTH, "cost")` if `over_budget` returns true. The connection is then closed at once.
    """
    try:
        async with aclosing(events):
            async for event in events:
                grew = result.count(event)
                if isinstance(event, Finished) and (usage := result.usage).estimated:
                    yield usage
                yield event
                if grew and (reason := _limit(policy, result)):
                    yield result.usage
                    result.finished = Finished(Outcome.LENGTH, reason)
                    yield result.finished
                    return
    except ProviderError:
        result.fail()
        raise


def _limit(policy: StreamPolicy, result: Meter) -> str:
    """Returns the limit that was passed, if any."""
    if policy.max_output_tokens is not None and result.output_tokens >= policy.max_output_tokens:
        return "limit"
    if policy.over_budget is not None and policy.over_budget(result.usage):
        return "cost"
    return ""
