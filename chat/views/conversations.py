"""The chat page, and what is done with a conversation as a whole."""

from __future__ import annotations

import uuid
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from chat.access import NotFoundError, conversation_for, conversations_of, may_open
from chat.actions.conversation import delete_conversation, rename_conversation
from chat.live.follow import PAGE_LENGTH
from chat.models import LIVE, ChatModel, Conversation, Message
from chat.views.answers import PersonRequest, done, for_people, wanted_method

LISTED = 100  # conversations in the sidebar


@require_safe
@for_people
def home(request: PersonRequest) -> HttpResponseBase:
    """A new chat: a page with an id of its own that the first prompt makes real."""
    return redirect("conversation", uuid.uuid4())


@never_cache
@require_http_methods(["GET", "HEAD", "POST", "DELETE"])
@for_people
def conversation(request: PersonRequest, conversation_id: UUID) -> HttpResponseBase:
    """GET shows it, POST renames it, DELETE deletes it."""
    match wanted_method(request):
        case "POST":
            rename_conversation(request.user, conversation_id, request.POST.get("title", ""))
            return done(request, to=reverse("conversation", args=[conversation_id]))
        case "DELETE":
            delete_conversation(request.user, conversation_id)
            return done(request, to=reverse("home"))
        case _:
            return _page(request, conversation_id)


@require_safe
@for_people
def earlier(request: PersonRequest, conversation_id: UUID, position: int) -> HttpResponseBase:
    """The page of messages before `position`: a fragment for htmx, else the whole thread from there on."""
    conversation = conversation_for(request.user, conversation_id)
    thread = conversation.messages.shown().filter(position__lt=position)
    if not request.htmx:
        return redirect("conversation", conversation_id)
    messages = _last_page(thread)
    context = {"thread": messages, "earlier_url": _earlier_url(conversation, messages)}
    return render(request, "chat/_earlier_page.html", context)


def _page(request: PersonRequest, conversation_id: UUID) -> HttpResponseBase:
    try:
        conversation = conversation_for(request.user, conversation_id)
    except NotFoundError:
        if not may_open(request.user, conversation_id):
            raise
        conversation = Conversation(id=conversation_id, owner=request.user)
        thread: list[Message] = []
    else:
        thread = _last_page(conversation.messages.shown())
    models = list(ChatModel.objects.usable_by(request.user))
    context = {
        "conversation": conversation,
        "conversations": conversations_of(request.user)[:LISTED],
        "thread": thread,
        "running": next((m for m in reversed(thread) if _is_live(m)), None),
        "earlier_url": _earlier_url(conversation, thread),
        "models": models,
        "chosen_model": _chosen_model(models, thread),
        "client_id": uuid.uuid4(),
        "max_prompt": settings.CHAT_MAX_PROMPT_CHARS,
        "messages_url": reverse("messages", args=[conversation_id]),
        "events_url": reverse("events", args=[conversation_id]),
        "socket_url": f"/ws/conversations/{conversation_id}/",
    }
    return render(request, "chat/page.html", context)


def _last_page(thread: Any) -> list[Message]:
    """The last messages, in order."""
    return list(reversed(thread.reverse()[:PAGE_LENGTH]))


def _earlier_url(conversation: Conversation, thread: list[Message]) -> str:
    """Where the messages before this page are; "" if there are none."""
    if len(thread) < PAGE_LENGTH:
        return ""
    return reverse("earlier", args=[conversation.pk, thread[0].position])


def _chosen_model(models: list[ChatModel], thread: list[Message]) -> int | None:
    """The model that answered last, else the default of the settings, else the first."""
    usable = {model.pk for model in models}
    for message in reversed(thread):
        generation = getattr(message, "generation", None)
        if generation and generation.model_id in usable:
            return int(generation.model_id)
    named = [model.pk for model in models if settings.CHAT_DEFAULT_MODEL in (model.name, model.label)]
    return next(iter(named or sorted(usable, key=[m.pk for m in models].index)), None)


def _is_live(message: Message) -> bool:
    generation = getattr(message, "generation", None)
    return generation is not None and generation.status in LIVE
