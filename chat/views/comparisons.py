"""Replies side by side."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from chat.access import message_for
from chat.actions.comparison import compare_reply, keep_reply
from chat.models import ChatModel
from chat.views.answers import PersonRequest, done, for_people


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_people
def comparison(request: PersonRequest, message_id: UUID) -> HttpResponseBase:
    """POST adds a reply by `model` beside this one; GET asks for the model, without scripts."""
    if request.method != "POST":
        context = {
            "message": message_for(request.user, message_id),
            "models": ChatModel.objects.usable_by(request.user),
            "compares": True,
        }
        return render(request, "chat/choose_model.html", context)
    reply = compare_reply(request.user, message_id, request.POST.get("model", ""))
    return done(request, to=reverse("conversation", args=[reply.conversation_id]))


@require_POST
@for_people
def kept(request: PersonRequest, message_id: UUID) -> HttpResponseBase:
    """Keeps this one of the replies side by side."""
    message = keep_reply(request.user, message_id)
    return done(request, to=reverse("conversation", args=[message.conversation_id]))
