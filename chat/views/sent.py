"""What a model was sent: the request for a reply, and summaries of earlier messages."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.http import HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chat.access import summary_for
from chat.generation.sent_request import SentTurn, WhatWasSent, what_was_sent
from chat.models import Generation, SentRequest
from chat.pipeline.tokens import estimate_tokens
from chat.views.responses import UserRequest, for_users

SOURCES = {
    "server": gettext_lazy("Of the server"),
    "model": gettext_lazy("Of the model"),
    "preset": gettext_lazy("Of the preset"),
    "folder": gettext_lazy("Of the folder"),
    "personal": gettext_lazy("My instructions"),
    "tools": gettext_lazy("For tools"),
    "files": gettext_lazy("For files"),
}
TEXT = 20_000  # characters of one text that the page shows


@dataclass(frozen=True, slots=True)
class Piece:
    """A text of the request. `tokens` is its estimate, in words."""

    title: str
    text: str
    tokens: str

    @classmethod
    def of(cls, title: str, text: str) -> Piece:
        count = estimate_tokens(text)
        words = ngettext("{count} token", "{count} tokens", count).format(count=count)
        return cls(title, text if len(text) <= TEXT else text[:TEXT] + "…", words)


@dataclass(frozen=True, slots=True)
class Sent:
    """`request` is None if it was not recorded. `left_out` is the number of earlier messages."""

    generation: Generation
    request: SentRequest | None
    prompts: list[Piece]
    turns: list[Piece]
    left_out: int

    @classmethod
    def of(cls, found: WhatWasSent) -> Sent:
        prompts = [Piece.of(str(SOURCES.get(source, source)), text) for source, text in found.system]
        turns = [Piece.of(_title(turn), _text(turn)) for turn in found.turns]
        return cls(found.generation, found.request, prompts, turns, found.left_out)


@never_cache
@require_safe
@for_users
def sent(request: UserRequest, message_id: UUID) -> HttpResponseBase:
    """Shows what the model of this reply was sent: a fragment for htmx, else a page."""
    found = what_was_sent(request.user, message_id)
    template = "chat/_sent.html" if request.htmx else "chat/sent.html"
    return render(request, template, {"sent": Sent.of(found)})


@never_cache
@require_safe
@for_users
def summary(request: UserRequest, summary_id: UUID) -> HttpResponseBase:
    """Shows a summary: a fragment for htmx, else a page."""
    template = "chat/_summary.html" if request.htmx else "chat/summary.html"
    return render(request, template, {"summary": summary_for(request.user, summary_id)})


def _text(turn: SentTurn) -> str:
    return turn.text or _("The model was sent the whole text of this file.")


def _title(turn: SentTurn) -> str:
    titles = {
        "user": _("You"),
        "assistant": turn.model or _("Model"),
        "summary": _("Summary of the earlier messages"),
        "source": _("From the file {name}").format(name=turn.model),
        "continued": _("The reply that is continued"),
    }
    return titles[turn.kind]
