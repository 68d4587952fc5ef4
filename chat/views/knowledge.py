"""The files of folders and presets, and the passages of them that a reply was made from."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from chat.access import NotFoundError, folder_for, knowledge_for, message_for, preset_for
from chat.actions.attachment import receive_file
from chat.actions.errors import InvalidInputError
from chat.actions.knowledge import add_to_folder, add_to_preset, remove_knowledge
from chat.downloads import file_response
from chat.models import Folder, Knowledge, Preset, Reading
from chat.translatable import translatable
from chat.views.fields import uuid_of
from chat.views.responses import UserRequest, for_users, wanted_method


def files_context(holder: Folder | Preset) -> dict[str, Any]:
    """Returns what the list of files shows: of a folder, or of a preset."""
    name = "folder" if isinstance(holder, Folder) else "preset"
    found = Knowledge.objects.filter(**{name: holder}).select_related("attachment__stored")
    files = list(found)
    return {
        "files": files,
        "files_url": reverse(f"{name}_files", args=[holder.pk]),
        "is_reading": any(file.state == Reading.OPEN for file in files),
    }


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_users
def folder_files(request: UserRequest, folder_id: UUID) -> HttpResponseBase:
    """GET returns the list of files for a script. POST adds an `attachment` that was uploaded, or with a form
    each `file`."""
    folder = folder_for(request.user, folder_id)
    return _files(request, folder, lambda file: add_to_folder(request.user, folder_id, file))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_users
def preset_files(request: UserRequest, preset_id: UUID) -> HttpResponseBase:
    """As `folder_files`, for a preset of the user's own."""
    preset = preset_for(request.user, preset_id)
    if preset.owner_id != request.user.pk:
        raise NotFoundError(translatable("There is no such preset."))
    return _files(request, preset, lambda file: add_to_preset(request.user, preset_id, file))


def _files(request: UserRequest, holder: Folder | Preset, add: Any) -> HttpResponseBase:
    if request.method != "POST":
        if request.accepts("text/html") and not request.htmx:
            return redirect(_page_of(holder))
        return render(request, "chat/_knowledge_list.html", files_context(holder))
    if "attachment" in request.POST:
        add(uuid_of(request.POST["attachment"]))
        return render(request, "chat/_knowledge_list.html", files_context(holder))
    files = request.FILES.getlist("file")
    if not files:
        raise InvalidInputError(translatable("No file was chosen. Choose one first."))
    for file in files:
        add(receive_file(request.user, file.chunks(), name=file.name or "", size=file.size or 0).pk)
    messages.success(request, gettext("Files attached."))
    return redirect(_page_of(holder))


@never_cache
@require_http_methods(["GET", "HEAD", "POST", "DELETE"])
@for_users
def knowledge_file(request: UserRequest, knowledge_id: UUID) -> HttpResponseBase:
    """GET returns the file to those who may use its folder or preset. DELETE removes it."""
    method = wanted_method(request)
    if method == "POST":
        return HttpResponse(status=405, headers={"Allow": "GET, HEAD, DELETE"})
    found = knowledge_for(request.user, knowledge_id, write=method == "DELETE")
    if method == "DELETE":
        remove_knowledge(request.user, knowledge_id)
        messages.success(request, gettext("File removed."))
        return redirect(_page_of(found.folder or found.preset))
    return file_response(request, found.attachment)


@never_cache
@require_safe
@for_users
def source(request: UserRequest, message_id: UUID, number: int) -> HttpResponseBase:
    """Shows one source of a reply, counted from 1: a fragment for htmx, else a page."""
    message = message_for(request.user, message_id)
    sources = message.sources
    if not 0 < number <= len(sources):
        raise NotFoundError(translatable("There is no such file."))
    template = "chat/_source.html" if request.htmx else "chat/source.html"
    return render(request, template, {"source": sources[number - 1], "message": message})


def _page_of(holder: Folder | Preset | None) -> str:
    assert holder is not None
    return reverse("folder" if isinstance(holder, Folder) else "preset", args=[holder.pk]) + "#files"
