"""Actions on the chats that are selected in the list."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from chat.access import conversations_of
from chat.actions.errors import InvalidInputError
from chat.actions.selection import (
    archive_conversations,
    delete_conversations,
    move_conversations,
    move_to_new_folder,
    restore_conversations,
    tag_conversations,
    untag_conversations,
)
from chat.actions.tag import tag_names
from chat.rendering import fragments
from chat.translatable import translatable
from chat.views.responses import UserRequest, for_users
from chat.views.sidebar import list_context, page_of


@require_POST
@for_users
def selection(request: UserRequest) -> HttpResponseBase:
    """Performs `action` on `chats`: their ids, one field each, or separated by commas."""
    ids = _ids(request.POST.getlist("chats"))
    undo: Sequence[UUID] = ()
    if request.POST.get("action") == "delete":
        undo = delete_conversations(request.user, ids)
        words = ngettext("%(number)s chat deleted.", "%(number)s chats deleted.", len(undo))
        words %= {"number": len(undo)}
    else:
        words = _changed(request, ids)
    return _response(request, words, undo)


@require_POST
@for_users
def selection_restoration(request: UserRequest) -> HttpResponseBase:
    """Undoes the deletion of `chats`."""
    number = restore_conversations(request.user, _ids(request.POST.getlist("chats")))
    words = ngettext("%(number)s chat restored.", "%(number)s chats restored.", number)
    return _response(request, words % {"number": number})


def _changed(request: UserRequest, ids: list[UUID]) -> str:
    """Performs the action. Returns the sentence for the user."""
    user, tag = request.user, request.POST.get("tag", "")
    match request.POST.get("action"):
        case "archive":
            number = archive_conversations(user, ids, archived=True)
            words = ngettext("%(number)s chat archived.", "%(number)s chats archived.", number)
        case "unarchive":
            number = archive_conversations(user, ids, archived=False)
            words = ngettext("%(number)s chat unarchived.", "%(number)s chats unarchived.", number)
        case "move":
            number = move_conversations(user, ids, _folder(request.POST.get("folder", "")))
            words = ngettext("%(number)s chat moved.", "%(number)s chats moved.", number)
        case "move-to-new":
            number = move_to_new_folder(user, ids, request.POST.get("new_folder", ""))
            words = ngettext("%(number)s chat moved.", "%(number)s chats moved.", number)
        case "tag":
            number = tag_conversations(user, ids, tag)
            words = ngettext("%(number)s chat tagged.", "%(number)s chats tagged.", number)
        case "untag":
            number = untag_conversations(user, ids, tag)
            words = ngettext(
                "Tag removed from %(number)s chat.", "Tag removed from %(number)s chats.", number
            )
        case "restore":
            number = restore_conversations(user, ids)
            words = ngettext("%(number)s chat restored.", "%(number)s chats restored.", number)
        case _:
            raise InvalidInputError(translatable("Choose what to do with the selected chats."))
    return words % {"number": number}


def _response(request: UserRequest, words: str, undo: Sequence[UUID] = ()) -> HttpResponseBase:
    """Returns the part of the list in which the chats were selected, and a toast. `undo` has the deleted
    chats."""
    part = request.POST.get("part", "")
    archived, deleted = "archived" in part, "deleted" in part
    if not request.htmx:
        messages.success(request, words)
        where = "?archived=1" if archived else "?deleted=1" if deleted else ""
        return redirect(reverse("conversations") + where)
    context = list_context(request.user, page_of(request), archived=archived, deleted=deleted)
    restoration = reverse("selection_restoration") if undo else ""
    html = fragments.toast(words, undo=restoration, chosen=",".join(map(str, undo)))
    if shown := page_of(request):
        html += "".join(map(fragments.conversation_folder, conversations_of(request.user).filter(pk=shown)))
    return HttpResponse(
        fragments.conversation_list(context) + fragments.tag_names(tag_names(request.user)) + html
    )


def _ids(values: list[str]) -> list[UUID]:
    try:
        return list(dict.fromkeys(UUID(one) for value in values for one in value.split(",") if one))
    except ValueError:
        raise InvalidInputError(translatable("There is no such chat.")) from None


def _folder(value: str) -> UUID | None:
    try:
        return UUID(value) if value else None
    except ValueError:
        raise InvalidInputError(translatable("There is no such folder.")) from None
