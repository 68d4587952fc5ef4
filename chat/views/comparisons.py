"""Replies side by side."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from chat.access import message_for
from chat.actions.comparison import compare_reply, keep_reply
from chat.models import ChatModel
from chat.views.responses import UserRequest, done_with_undo, for_users


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_users
def comparison(request: UserRequest, message_id: UUID) -> HttpResponseBase:
    """POST adds a reply by `model` beside this one; GET asks for the model, without scripts."""
    if request.method != "POST":
        context = {
            "message": message_for(request.user, message_id),
            "models": ChatModel.objects.usable_by(request.user),
            "compares": True,
        }
        return render(request, "chat/choose_model.html", context)
    added = compare_reply(request.user, message_id, request.POST.get("model", ""))
    return done_with_undo(
        request, added.message, _("What followed is kept with the earlier reply."), added.hidden
    )


@require_POST
@for_users
def kept(request: UserRequest, message_id: UUID) -> HttpResponseBase:
    """Keeps this reply of those side by side."""
    kept = keep_reply(request.user, message_id)
    if kept.stopped:
        words = _("The other replies were stopped, and are kept as variants.")
    else:
        words = _("What followed the other reply is kept with it.")
    return done_with_undo(request, kept.message, words, kept.hidden, is_rated=kept.is_rated)
