"""The outcome of a run, and its messages for the user."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from chat.generation.context import Prepared
from chat.live.reply_log import TOOL_CALL, ReplyLog
from chat.models import ChatModel, Status
from chat.parts import Opaque, storable
from chat.providers.errors import ProviderError
from chat.providers.events import Outcome, Usage
from chat.translatable import translatable as _

CUT = _("The connection to the provider ended in the middle of the answer. The text so far is kept.")
EMPTY = _("The model ended its answer without a word. Retry, or choose another model.")
ONLY_A_TOOL = _(
    "The model called a tool instead of answering, and it has none here. Retry, or choose another model."
)
EMPTY_AT_LIMIT = _(
    "The length limit was reached before the first word of the answer. Retry, or choose another model."
)
BROKEN = _(
    "Something went wrong in Steady while this reply was being written. The text so far is kept. Retry it."
)

STATUSES = {
    Outcome.COMPLETE: Status.COMPLETE,
    Outcome.TOOL_CALLS: Status.COMPLETE,
    Outcome.PAUSED: Status.INTERRUPTED,
    Outcome.LENGTH: Status.LENGTH,
    Outcome.REFUSED: Status.REFUSED,
}


@dataclass
class Result:
    """The outcome of a run. It is filled while the run goes on."""

    status: Status = Status.INTERRUPTED
    finish_reason: str = ""
    error_code: str = ""
    error_message: str = ""
    error_detail: str = ""  # the provider's own message, for administrators
    usage: Usage = field(default_factory=Usage)
    first_token_at: datetime | None = None
    rejection: str = ""  # the reason why one of our validators stopped the answer
    first_text_at: datetime | None = None
    opaque: list[Opaque] = field(default_factory=list)
    sent: Prepared | None = None

    def set(self, status: Status, code: str, words: str, detail: str = "") -> None:
        self.status, self.error_code, self.error_message = status, code, words[:500]
        self.error_detail = storable(detail)[:500]

    def set_empty(self, log: ReplyLog) -> None:
        """Sets the reason why a complete reply has no text: without one it looks like a reply that has not
        begun."""
        if self.status == Status.LENGTH:
            self.set(Status.LENGTH, "empty", EMPTY_AT_LIMIT)
        elif any(segment.kind == TOOL_CALL for segment in log.since(0)):
            self.set(Status.FAILED, "only_a_tool", ONLY_A_TOOL)
        else:
            self.set(Status.FAILED, "empty", EMPTY)

    def fields(self, model: ChatModel | None) -> dict[str, Any]:
        """Returns the fields of the generation that are stored at its end."""
        usage = self.usage
        return {
            "first_token_at": self.first_token_at,
            "first_text_at": self.first_text_at,
            "finish_reason": storable(self.finish_reason),
            "error_code": self.error_code,
            "error_message": self.error_message,
            "error_detail": self.error_detail,
            "input_tokens": _count(usage.input_tokens),
            "output_tokens": _count(usage.output_tokens),
            "cached_input_tokens": _count(usage.cached_input_tokens) or 0,
            "reasoning_tokens": _count(usage.reasoning_tokens) or 0,
            "usage_estimated": usage.estimated,
            "sent_from": self.sent.sent_from if self.sent else None,
            "input_estimate": self.sent.estimate if self.sent else None,
            "cost": model.cost(
                _count(usage.input_tokens), _count(usage.output_tokens), _count(usage.cached_input_tokens)
            )
            if model
            else None,
        }


def kind_of(error: ProviderError) -> str:
    """Returns the status or the class of an error for the log. A provider's own message may repeat the
    prompt, so it is not logged."""
    found = re.match(r"HTTP \d{3}|\w+(Error|Exception|Disconnected)\b", error.detail)
    return f"({found[0]})" if found else ""


def _count(tokens: int | None) -> int | None:
    """Returns a provider's count within the range of a column."""
    return None if tokens is None else max(0, min(tokens, 2**31 - 1))
