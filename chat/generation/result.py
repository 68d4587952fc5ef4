"""The outcome of a run, and its messages for the user."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from chat.generation.context import Prepared
from chat.generation.tool_runs import total
from chat.live.reply_log import TOOL_CALL, ReplyLog
from chat.live.tool_call_lines import results_in
from chat.models import ChatModel, Generation, SentRequest, Status, Step
from chat.parts import NoticePart, Opaque, Part, SourcePart, storable
from chat.providers.errors import ProviderError
from chat.providers.events import Outcome, Usage
from chat.tools.web_search import NAME
from chat.translatable import translatable as _

CUT = _("The connection to the provider ended in the middle of the reply. The text so far is kept.")
EMPTY = _("The model sent an empty reply. Retry, or choose another model.")
ONLY_A_TOOL = _("The model called a tool, but it has no tools in this chat. Retry, or choose another model.")
EMPTY_AT_LIMIT = _(
    "The length limit was reached before the first word of the reply. Retry, or choose another model."
)
BROKEN = _(
    "Something went wrong in Steady while this reply was being written. The text so far is kept. Retry it."
)
TOO_MANY_STEPS = _("The model called tools again and again, so the reply was ended.")

_NOTHING = Decimal(0)
_NO_OPTIONS = {"model", "turns", "system", "tools", "web_searches"}  # of a request

STATUSES = {
    Outcome.COMPLETE: Status.COMPLETE,
    Outcome.TOOL_CALLS: Status.COMPLETE,
    Outcome.PAUSED: Status.INTERRUPTED,
    Outcome.LENGTH: Status.LENGTH,
    Outcome.REFUSED: Status.REFUSED,
}


@dataclass
class Result:
    """The outcome of a run, which fills it step by step."""

    status: Status = Status.INTERRUPTED
    finish_reason: str = ""
    error_code: str = ""
    error_message: str = ""
    error_detail: str = ""  # the provider's own message, for administrators
    usage: Usage = field(default_factory=Usage)
    first_token_at: datetime | None = None
    rejection: str = ""  # the reason why one of our validators stopped the answer
    first_text_at: datetime | None = None
    opaque: list[tuple[int, Opaque]] = field(default_factory=list)  # each with the number of its step
    made: int = 0  # files that the model made
    notices: list[NoticePart] = field(default_factory=list)  # what people are told beside those of `sent`
    sources: list[SourcePart] = field(default_factory=list)  # of the steps that are over
    sent: Prepared | None = None
    outcome: Outcome | None = None  # how the last step ended
    steps: list[Step] = field(default_factory=list)  # that ended with calls of tools, and are committed
    has_output: bool = False  # of this step
    is_asking: bool = False  # a step has begun that is not in `steps`

    def set(self, status: Status, code: str, words: str, detail: str = "") -> None:
        self.status, self.error_code, self.error_message = status, code, words[:500]
        self.error_detail = storable(detail)[:500]

    def keep_sources(self) -> None:
        """Keeps the sources of this step: the next one is sent with its own."""
        if self.sent:
            self.sources += [notice for notice in self.sent.notices if isinstance(notice, SourcePart)]

    def extract_notices(self, parts: Iterable[Part]) -> list[Part]:
        """Moves the notices and sources of the steps so far from these parts here. Returns the other
        parts."""
        rest: list[Part] = []
        for part in parts:
            match part:
                case SourcePart():
                    self.sources.append(part)
                case NoticePart():
                    self.notices.append(part)
                case _:
                    rest.append(part)
        return rest

    @property
    def all_notices(self) -> list[NoticePart | SourcePart]:
        """Returns what people are told of all steps, each thing once."""
        sent = self.sent.notices if self.sent else ()
        return list(dict.fromkeys([*self.sources, *sent, *self.notices]))

    def set_empty(self, log: ReplyLog) -> None:
        """Sets the reason why a complete reply has no text: without one it looks like a reply that has not
        begun."""
        if self.status == Status.LENGTH:
            self.set(Status.LENGTH, "empty", EMPTY_AT_LIMIT)
        elif any(segment.kind == TOOL_CALL for segment in log.since(0)) and not results_in(log.since(0)):
            self.set(Status.FAILED, "only_a_tool", ONLY_A_TOOL)
        else:
            self.set(Status.FAILED, "empty", EMPTY)

    @property
    def spent(self) -> Decimal:
        """Returns the cost of the steps that have ended, in US dollars."""
        return sum((step.cost or _NOTHING for step in self.steps), _NOTHING)

    def step(self, generation: Generation) -> Step:
        """Returns the row of the step that has just ended."""
        return Step(
            generation_id=generation.pk,
            number=len(self.steps) + 1,
            finish_reason=storable(self.finish_reason),
            error_code=self.error_code,
            **self._usage_of_step(),
            cost=self._cost(generation.model, self._usage_of_step()),
        )

    def sent_request(self, generation: Generation) -> SentRequest | None:
        """Returns the unsaved record of the last request; None if none was sent."""
        if self.sent is None:
            return None
        request = self.sent.request
        options = {
            field.name: getattr(request, field.name)
            for field in fields(request)
            if field.name not in _NO_OPTIONS and getattr(request, field.name) != field.default
        }
        return SentRequest(
            generation_id=generation.pk,
            system=[list(each) for each in self.sent.instructions],
            # Fields that an administrator adds may hold a key: their names alone.
            options={n: sorted(v) if n == "extra" else _plain(v) for n, v in options.items()},
            tools=[*(tool.name for tool in request.tools), *([NAME] if request.web_searches else ())],
        )

    def fields(self, model: ChatModel | None) -> dict[str, Any]:
        """Returns the fields of the generation that are stored at its end. Usage and cost are the sums of its
        steps."""
        used = self._usage_of_step()
        cost = self._cost(model, used)
        if self.steps:
            if not self.is_asking:  # no further step was sent
                used, cost = dict.fromkeys(used, None), self.steps[-1].cost and _NOTHING
            before = total(self.steps)
            used = {name: _sum(used[name], before[name]) for name in used}
            cost = None if cost is None else self.spent + cost
        return {
            "first_token_at": self.first_token_at,
            "first_text_at": self.first_text_at,
            "finish_reason": storable(self.finish_reason),
            "error_code": self.error_code,
            "error_message": self.error_message,
            "error_detail": self.error_detail,
            "sent_from": self.sent.sent_from if self.sent else None,
            "summary": self.sent.summary if self.sent else None,
            **({"parameters": self.sent.parameters.as_json()} if self.sent else {}),
            **used,
            "cost": cost,
        }

    def _usage_of_step(self) -> dict[str, Any]:
        usage = self.usage
        return {
            "input_tokens": _count(usage.input_tokens),
            "output_tokens": _count(usage.output_tokens),
            "cached_input_tokens": _count(usage.cached_input_tokens) or 0,
            "reasoning_tokens": _count(usage.reasoning_tokens) or 0,
            "searches": _count(usage.searches) or 0,
            "usage_estimated": usage.estimated,
            "input_estimate": self.sent.estimate if self.sent else None,
        }

    def _cost(self, model: ChatModel | None, used: dict[str, Any]) -> Decimal | None:
        if model is None:
            return None
        asked, said, cached = (used[f"{name}_tokens"] for name in ("input", "output", "cached_input"))
        return model.cost(asked, said, cached, self.usage.cache_written_tokens, used["searches"] or 0)


def _plain(value: Any) -> Any:
    """Returns the value of an option as JSON has it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return list(value) if isinstance(value, tuple | list) else str(value)


def kind_of(error: ProviderError) -> str:
    """Returns the status or the class of an error for the log. A provider's own message may repeat the
    prompt, so it is not logged."""
    found = re.match(r"HTTP \d{3}|\w+(Error|Exception|Disconnected)\b", error.detail)
    return f"({found[0]})" if found else ""


def _sum(one: Any, before: Any) -> Any:
    """Returns the sum of two columns; of a flag, whether one of them is set."""
    if isinstance(before, bool):
        return bool(one) or before
    return _count((one or 0) + before)


def _count(tokens: int | None) -> int | None:
    """Returns a provider's count within the range of a column."""
    return None if tokens is None else max(0, min(tokens, 2**31 - 1))
