"""The chat page, and actions on a whole conversation."""

from __future__ import annotations

import uuid
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages as notes
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from chat.access import NotFoundError, conversation_for, may_open
from chat.actions.conversation import (
    archive_conversation,
    delete_conversation,
    pin_conversation,
    rename_conversation,
    restore_conversation,
    use_instructions,
)
from chat.actions.share import allowed_audiences
from chat.actions.tag import tag_names
from chat.live.subscription import PAGE_LENGTH
from chat.models import Conversation, Message, Preferences, Role, User
from chat.models.message import MessageQuerySet, read_for_showing
from chat.rendering import dom, fragments
from chat.views.model_list import model_context
from chat.views.preset_choice import new_chat_context, used_context
from chat.views.responses import UserRequest, for_users, redirect_to_chat, wanted_method
from chat.views.sidebar import list_context, page_of
from chat.views.tool_choices import tool_choices

MOST_AT_ONCE = 1_000  # messages in one response


@require_safe
@for_users
def home(request: UserRequest) -> HttpResponseBase:
    """Shows a new chat: a page with an unused id, which the first prompt creates."""
    return redirect("conversation", uuid.uuid4())


@never_cache
@require_http_methods(["GET", "HEAD", "POST", "DELETE"])
@for_users
def conversation(request: UserRequest, conversation_id: UUID) -> HttpResponseBase:
    """GET shows it, POST changes its `title`, or whether it is `pinned` or `archived`, DELETE deletes it."""
    match wanted_method(request):
        case "POST":
            return _change(request, conversation_id)
        case "DELETE":
            delete_conversation(request.user, conversation_id)
            if not request.htmx:
                notes.success(request, _("Chat deleted."))
                return redirect("home")
            is_shown = page_of(request) == conversation_id
            undo = reverse("restoration", args=[conversation_id]) + ("?open=1" if is_shown else "")
            html = fragments.toast(_("Chat deleted."), undo=undo)
            return _page(request, uuid.uuid4(), html) if is_shown else _listed(request, html)
        case _:
            return _page(request, conversation_id)


@require_POST
@for_users
def restoration(request: UserRequest, conversation_id: UUID) -> HttpResponseBase:
    """Undoes the deletion. With `open` it also opens the chat."""
    restore_conversation(request.user, conversation_id)
    if not request.htmx or request.GET.get("open"):
        return redirect_to_chat(request, reverse("conversation", args=[conversation_id]))
    return _listed(request, fragments.toast(_("Chat restored.")))


def _change(request: UserRequest, conversation_id: UUID) -> HttpResponseBase:
    words = ""
    if "title" in request.POST:
        rename_conversation(request.user, conversation_id, request.POST["title"])
    if "pinned" in request.POST:
        pin_conversation(request.user, conversation_id, pinned=bool(request.POST["pinned"]))
    if "archived" in request.POST:
        archived = bool(request.POST["archived"])
        archive_conversation(request.user, conversation_id, archived=archived)
        words = _("Chat archived.") if archived else _("Chat unarchived.")
    if "instructions" in request.POST:
        is_stored = use_instructions(request.user, conversation_id, used=bool(request.POST["instructions"]))
        if not is_stored:
            return redirect_to_chat(request, reverse("conversation", args=[conversation_id]))
    if not request.htmx:
        return redirect("conversation", conversation_id)
    html = fragments.toast(words) if words else ""
    if page_of(request) == conversation_id:
        html += fragments.conversation_menu(conversation_for(request.user, conversation_id))
    return _listed(request, html)


def _listed(request: UserRequest, html: str) -> HttpResponse:
    """Returns the list again, and `html`."""
    return HttpResponse(fragments.conversation_list(list_context(request.user, page_of(request))) + html)


@require_safe
@for_users
def earlier(request: UserRequest, conversation_id: UUID, position: int) -> HttpResponseBase:
    """Returns the messages before `position`: a fragment for htmx, else a whole page. If the message `to` is
    further above, a fragment begins with its page, but has at most `MOST_AT_ONCE` messages."""
    conversation = conversation_for(request.user, conversation_id)
    shown = conversation.messages.shown()
    before = shown.filter(position__lt=position)
    length = _length_to(before, request.GET.get("to", "")) if request.htmx else PAGE_LENGTH
    messages = _last_page(before, length)
    if not request.htmx:
        if not shown[PAGE_LENGTH:].exists():
            return redirect("conversation", conversation_id)
        return render(request, "chat/page.html", _earlier_context(request.user, conversation, messages))
    context = {"shown_messages": messages, "earlier_url": fragments.earlier_url(conversation, messages)}
    return render(request, "chat/_earlier_page.html", context)


def _length_to(messages: MessageQuerySet, element_id: str) -> int:
    """Returns how many of the last messages contain this one, in whole pages."""
    wanted = dom.message_id_of(element_id)
    if wanted is None:
        return PAGE_LENGTH
    position = messages.filter(pk=wanted).values("position")
    pages = messages.filter(position__gte=position).count() // PAGE_LENGTH + 1
    return min(pages * PAGE_LENGTH, MOST_AT_ONCE)


def _page(request: UserRequest, conversation_id: UUID, toast: str = "") -> HttpResponseBase:
    """Returns the whole page; for htmx, which switches between chats, only the parts that differ, and
    `toast`."""
    try:
        conversation = conversation_for(request.user, conversation_id)
    except NotFoundError:
        if not may_open(request.user, conversation_id):
            raise
        conversation = Conversation(id=conversation_id, owner=request.user)
        shown: list[Message] = []
    else:
        shown = _last_page(conversation.messages.shown())
        conversation = shown[0].conversation if shown else conversation  # as it was with these messages
    context = {
        **_context(request.user, conversation, shown),
        "edited": _edited(request, conversation),
        **_message_to_show(request, conversation),
    }
    if not request.htmx:
        return render(request, "chat/page.html", {**context, "tag_names": tag_names(request.user)})
    response = render(request, "chat/_switched.html", {**context, "toast": toast})
    if "HX-History-Restore-Request" not in request.headers:
        response.headers["HX-Push-Url"] = reverse("conversation", args=[conversation_id])
    return response


def _edited(request: UserRequest, conversation: Conversation) -> Message | None:
    """Returns the prompt that the page edits without scripts, if there is one."""
    try:
        message_id = uuid.UUID(request.GET.get("edit", ""))
    except ValueError:
        return None
    return conversation.messages.filter(pk=message_id, role=Role.USER, shown=True).first()


def _message_to_show(request: UserRequest, conversation: Conversation) -> dict[str, Any]:
    """Returns what the page needs to open at the requested message: its id, or for a message that is not
    shown the message itself, for a notice."""
    try:
        wanted = UUID(request.GET.get("message", ""))
    except ValueError:
        return {}
    message = Message.objects.filter(pk=wanted, conversation=conversation, deleted_at=None).first()
    if message is None:
        return {}
    return {"opened_at": message.pk} if message.shown else {"hidden_message": message}


def _context(user: User, conversation: Conversation, shown: list[Message]) -> dict[str, Any]:
    is_new = not conversation.revision
    preset_context = (new_chat_context if is_new else used_context)(user, conversation)
    fresh = preset_context.get("fresh")
    preferences = Preferences.of(user)
    preset_model = fresh.model_id if fresh else None
    models = model_context(user, preferences, shown, conversation.parameters, preset_model)
    offered = [model for group in models["model_groups"] for model in group.models]
    tools = tool_choices(user, conversation, offered)
    wanted_tools = set(fresh.tools if fresh else ())
    return {
        "conversation": conversation,
        "shown_messages": shown,
        "revision": conversation.revision,
        "running": next((message for message in shown if message.is_growing), None),
        "tools": tools,
        "preset_tools_are_missing": not wanted_tools.issubset(tool["name"] for tool in tools),
        "has_instructions": bool(preferences.instructions),
        "most_chars": settings.CHAT_MAX_PROMPT_CHARS,
        "sharing_is_on": bool(allowed_audiences()),
        "earlier_url": fragments.earlier_url(conversation, shown),
        **models,
        **preset_context,
        "client_id": uuid.uuid4(),
        "messages_url": reverse("messages", args=[conversation.pk]),
        "events_url": reverse("events", args=[conversation.pk]),
        "socket_url": f"/ws/conversations/{conversation.pk}/?language={get_language()}",
        **list_context(user, conversation.pk),
    }


def _earlier_context(user: User, conversation: Conversation, shown: list[Message]) -> dict[str, Any]:
    """Returns the context of a page of earlier messages without scripts. A page with scripts reports revision
    0, and receives the latest messages in place of these."""
    latest_url = reverse("conversation", args=[conversation.pk])
    return {**_context(user, conversation, shown), "revision": 0, "latest_url": latest_url}


def _last_page(shown: MessageQuerySet, length: int = PAGE_LENGTH) -> list[Message]:
    """Returns the last messages, in order."""
    messages = list(reversed(shown.reverse()[:length]))
    read_for_showing(messages)
    return messages
