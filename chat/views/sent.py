"""What a model was sent: the request for a reply, and summaries of earlier messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.http import HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chat.access import NotFoundError, message_for, summary_for
from chat.models import Generation, Message, Role, SentRequest
from chat.pipeline.tokens import estimate_tokens
from chat.translatable import translatable
from chat.views.answers import PersonRequest, for_people

SOURCES = {
    "server": gettext_lazy("Of the server"),
    "model": gettext_lazy("Of the model"),
    "preset": gettext_lazy("Of the preset"),
    "folder": gettext_lazy("Of the folder"),
    "personal": gettext_lazy("My instructions"),
    "tools": gettext_lazy("For tools"),
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


@never_cache
@require_safe
@for_people
def sent(request: PersonRequest, message_id: UUID) -> HttpResponseBase:
    """Shows what the model of this reply was sent: a fragment for htmx, else a page."""
    message = message_for(request.user, message_id)
    if message.reply is None or message.reply.is_live:
        raise NotFoundError(translatable("There is no such message."))
    template = "chat/_sent.html" if request.htmx else "chat/sent.html"
    return render(request, template, {"sent": _sent(message, message.reply)})


@never_cache
@require_safe
@for_people
def summary(request: PersonRequest, summary_id: UUID) -> HttpResponseBase:
    """Shows a summary: a fragment for htmx, else a page."""
    template = "chat/_summary.html" if request.htmx else "chat/summary.html"
    return render(request, template, {"summary": summary_for(request.user, summary_id)})


def _sent(message: Message, generation: Generation) -> Sent:
    recorded = SentRequest.objects.filter(generation=generation).first()
    system = recorded.system if recorded else []
    prompts = [Piece.of(str(SOURCES.get(source, source)), text) for source, text in system]
    first = generation.sent_from or 0
    path = list(_path(message))
    turns = [
        Piece.of(_("You") if role == Role.USER else label or _("Model"), text)
        for position, role, text, label in path
        if position >= first
    ]
    if generation.summary is not None:
        turns.insert(0, Piece.of(_("Summary of the earlier messages"), generation.summary.text))
    if generation.continues is not None:
        turns.append(Piece.of(_("The reply that is continued"), generation.continues.text))
    return Sent(generation, recorded, prompts, turns, sum(position < first for position, *_rest in path))


def _path(message: Message) -> Iterator[tuple[int, str, str, str | None]]:
    """Yields the messages with text before this reply, in order: position, role, text, and the name of the
    model."""
    rows = Message.objects.filter(conversation=message.conversation_id, position__lt=message.position)
    columns = rows.order_by("-position").values_list(
        "pk", "parent", "position", "role", "text", "generation__model_label"
    )
    wanted, found = message.parent_id, []
    for pk, parent, position, role, text, label in columns.iterator():
        if pk == wanted:
            wanted = parent
            if text.strip():
                found.append((position, role, text, label))
    yield from reversed(found)
