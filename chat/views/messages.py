"""Prompts and replies."""

from __future__ import annotations

from uuid import UUID, uuid4

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse, HttpResponseBase, HttpResponseNotAllowed, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from chat.access import NoSuchModelError, message_for
from chat.actions.attachment import receive_file
from chat.actions.feedback import rate_reply, remove_rating
from chat.actions.message import delete_message, restore_message
from chat.actions.reply import ReplyOptions, retry_or_continue, stop_reply
from chat.actions.send import send_message
from chat.actions.variant import show_message, show_variant, undo_replacement
from chat.generation.endpoint_queue import place_of
from chat.models import ChatModel, Generation
from chat.rendering import fragments
from chat.views.fields import uuid_of
from chat.views.responses import UserRequest, done, done_with_undo, for_users, redirect_to_chat, wanted_method

_PARAMETERS = ("temperature", "max_output_tokens", "reasoning_effort")


@require_POST
@for_users
def messages(request: UserRequest, conversation_id: UUID) -> HttpResponseBase:
    """Sends a prompt without a socket: `text`, one or more `model`, a `client_id`, files, the message that it
    `edits`, the names of the `tools` that are on, and the parameters of the chat. Each `attachment` is the id
    of a stored file; a form without a script has the `files` themselves. Each `removed_attachment` is a file
    of the edited message that this one goes without."""
    uploaded = [
        receive_file(request.user, file.chunks(), name=file.name or "", size=file.size or 0)
        for file in request.FILES.getlist("files")
        if isinstance(file, UploadedFile) and file.name
    ]
    sent = send_message(
        request.user,
        conversation_id,
        client_id=_client_id(request.POST.get("client_id", "")),
        text=request.POST.get("text", ""),
        # A page sends several in one value too: htmx joins lists by commas.
        model_ids=[*",".join(request.POST.getlist("model")).split(",")],
        tools=" ".join(request.POST.getlist("tools")).split() if "tools" in request.POST else None,
        parameters=_parameters(request.POST),
        edits=uuid_of(edits) if (edits := request.POST.get("edits")) else None,
        attachments=[
            *(uuid_of(it) for it in ",".join(request.POST.getlist("attachment")).split(",") if it),
            *(attachment.pk for attachment in uploaded),
        ],
        removed_attachments=[
            uuid_of(it) for it in ",".join(request.POST.getlist("removed_attachment")).split(",") if it
        ],
    )
    if request.htmx and sent.message.client_id:
        return HttpResponse(fragments.receipt(sent.message))
    return redirect("conversation", conversation_id)


@never_cache
@require_http_methods(["GET", "HEAD"])
@for_users
def place(request: UserRequest, message_id: UUID) -> HttpResponseBase:
    """Returns the place of a waiting reply in the queue of its model's provider, as text; empty if it does
    not wait there."""
    found = message_for(request.user, message_id)
    generation = Generation.objects.filter(message=found).select_related("model__endpoint").first()
    number = place_of(generation) if generation is not None and generation.queued_by_endpoint else None
    words = _("Position {number} in the queue for this model.").format(number=number) if number else ""
    return HttpResponse(words)


@never_cache
@require_http_methods(["GET", "HEAD", "POST", "DELETE"])
@for_users
def message(request: UserRequest, message_id: UUID) -> HttpResponseBase:
    """GET returns its Markdown as plain text; DELETE deletes it and all that follows."""
    if wanted_method(request) == "POST":
        return HttpResponseNotAllowed(["GET", "HEAD", "DELETE"])
    if wanted_method(request) != "DELETE":
        found = message_for(request.user, message_id)
        return HttpResponse(found.text, content_type="text/plain; charset=utf-8")
    deleted = delete_message(request.user, message_id)
    if not request.htmx:
        return redirect("conversation", deleted.conversation_id)
    undo = reverse("message_restoration", args=[message_id])
    return HttpResponse(fragments.toast(_("Messages deleted."), undo=undo))


@require_POST
@for_users
def restoration(request: UserRequest, message_id: UUID) -> HttpResponseBase:
    """Undoes the deletion."""
    message = restore_message(request.user, message_id)
    return done(request, to=reverse("conversation", args=[message.conversation_id]))


@require_POST
@for_users
def variant(request: UserRequest, message_id: UUID) -> HttpResponseBase:
    """Shows the variant `to` instead of this message."""
    message = show_variant(request.user, message_id, uuid_of(request.POST.get("to", "")))
    return done(request, to=reverse("conversation", args=[message.conversation_id]))


@require_POST
@for_users
def message_path(request: UserRequest, message_id: UUID) -> HttpResponseBase:
    """Shows the path to this message, and opens the chat at it. `undo` names a reply whose retry, comparison
    or choice hid this message, and takes that back."""
    if undo := request.GET.get("undo"):
        message = undo_replacement(
            request.user,
            uuid_of(undo),
            message_id,
            beside=[uuid_of(it) for it in request.POST.get("beside", "").split(",") if it],
            is_rated="rated" in request.GET,
        )
        return done(request, to=reverse("conversation", args=[message.conversation_id]))
    message = show_message(request.user, message_id)
    url = f"{reverse('conversation', args=[message.conversation_id])}?message={message.pk}"
    return redirect_to_chat(request, url)


@require_http_methods(["POST", "DELETE"])
@for_users
def feedback(request: UserRequest, message_id: UUID) -> HttpResponseBase:
    """POST rates a reply (`good`, with `reason` and `comment` if not), DELETE removes the rating."""
    verdict = None
    if wanted_method(request) == "DELETE":
        message = remove_rating(request.user, message_id)
    else:
        message, verdict = rate_reply(
            request.user,
            message_id,
            is_good=bool(request.POST.get("good")),
            reason=request.POST.get("reason", ""),
            comment=request.POST.get("comment", ""),
        )
    if not request.htmx:
        return redirect("conversation", message.conversation_id)
    context = {"message": message, "verdict": verdict}
    thanks = "" if verdict is None or verdict.asks else fragments.toast(_("Thank you for your feedback."))
    return HttpResponse(render(request, "chat/_feedback.html", context).content + thanks.encode())


@require_http_methods(["POST", "DELETE"])
@for_users
def generation(request: UserRequest, message_id: UUID) -> HttpResponseBase:
    """Stops the reply in this message."""
    message = stop_reply(request.user, message_id)
    return done(request, to=reverse("conversation", args=[message.conversation_id]))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_users
def generations(request: UserRequest, message_id: UUID) -> HttpResponseBase:
    """POST queues another reply instead of this one, or its continuation (`continue`), by `model`. With
    `keep` the same model answers, and `model` only if that one cannot be used any more. GET asks for the
    model."""
    if request.method != "POST":
        return _models_to_choose(request, message_id)
    model_id, fallback_id = request.POST.get("model") or None, None
    if request.POST.get("keep"):
        model_id, fallback_id = None, model_id
    try:
        options = ReplyOptions(model_id, fallback_id, _parameters(request.POST))
        again = retry_or_continue(
            request.user, message_id, options, continues=bool(request.POST.get("continue"))
        )
    except NoSuchModelError:
        if request.htmx or not request.accepts("text/html"):
            raise
        return _models_to_choose(request, message_id, status=409)
    words = _("What followed is kept with the earlier reply.")
    return done_with_undo(request, again.message, words, again.hidden)


def _models_to_choose(request: UserRequest, message_id: UUID, *, status: int = 200) -> HttpResponse:
    """Shows the list of models for browsers without scripts. With 409, the model of the reply cannot be used
    any more."""
    context = {
        "message": message_for(request.user, message_id),
        "models": ChatModel.objects.usable_by(request.user),
        "continues": request.POST.get("continue"),
        "is_gone": status == 409,
    }
    return render(request, "chat/choose_model.html", context, status=status)


def _parameters(form: QueryDict) -> object:
    """Returns the parameters of a script, which are JSON, or those of a form. None if there are none."""
    if "parameters" in form:
        return form["parameters"]
    return {name: form[name] for name in _PARAMETERS if name in form} or None


def _client_id(value: str) -> UUID:
    """Returns the sender's id of the prompt, or a new one, which does not prevent duplicates."""
    return uuid_of(value) if value else uuid4()
