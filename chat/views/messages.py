"""Prompts, and the replies to them."""

from __future__ import annotations

from uuid import UUID, uuid4

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from chat.actions.errors import InvalidInputError
from chat.actions.reply import continue_reply, retry_reply, stop_reply
from chat.actions.send import send_message
from chat.rendering import fragments
from chat.views.answers import PersonRequest, done, for_people


@require_POST
@for_people
def messages(request: PersonRequest, conversation_id: UUID) -> HttpResponseBase:
    """Sends a prompt where no socket is open: `text`, one or more `model`, and a `client_id`."""
    sent = send_message(
        request.user,
        conversation_id,
        client_id=_client_id(request.POST.get("client_id", "")),
        text=request.POST.get("text", ""),
        model_ids=[*request.POST.getlist("model")],
    )
    if request.htmx and sent.message.client_id:
        return HttpResponse(fragments.receipt(sent.message.client_id))
    return redirect("conversation", conversation_id)


@require_http_methods(["POST", "DELETE"])
@for_people
def generation(request: PersonRequest, message_id: UUID) -> HttpResponseBase:
    """Stops the reply in this message."""
    message = stop_reply(request.user, message_id)
    return done(request, to=reverse("conversation", args=[message.conversation_id]))


@require_POST
@for_people
def generations(request: PersonRequest, message_id: UUID) -> HttpResponseBase:
    """Asks for another reply in place of this one (`model`: by another model), or for its
    continuation (`continue`)."""
    if request.POST.get("continue"):
        reply = continue_reply(request.user, message_id)
    else:
        reply = retry_reply(request.user, message_id, request.POST.get("model") or None)
    return done(request, to=reverse("conversation", args=[reply.conversation_id]))


def _client_id(value: str) -> UUID:
    """The sender's id of the prompt; a sender that has none gets one, and no protection from doubles."""
    if not value:
        return uuid4()
    try:
        return UUID(value)
    except ValueError:
        raise InvalidInputError("The client_id is not a UUID. Reload the page and send again.") from None
