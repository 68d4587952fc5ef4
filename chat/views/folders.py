"""Folders of chats: their pages, and the choice of one for a chat."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from chat.access import conversation_for, folder_for
from chat.actions.errors import ActionError
from chat.actions.folder import (
    begin_in_folder,
    change_folder,
    delete_folder,
    make_folder,
    move_conversation,
    open_folder,
)
from chat.models import Conversation, Folder, Preset, User
from chat.rendering import fragments
from chat.rendering.words import in_words
from chat.views.fields import optional_uuid_of
from chat.views.knowledge import files_context
from chat.views.responses import UserRequest, for_users, redirect_to_chat, wanted_method
from chat.views.sidebar import after_of, below, limit_of, list_context, more_of, page_of


class FolderForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Folder
        fields = ("name", "instructions", "preset")

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        preset = self.fields["preset"]
        assert isinstance(preset, forms.ModelChoiceField)
        preset.queryset = Preset.objects.seen_by(user)
        preset.empty_label = _("No preset")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_users
def folders(request: UserRequest) -> HttpResponseBase:
    """GET asks for the name of a new folder, POST creates it."""
    if request.method != "POST":
        template = "chat/_folder_new.html" if request.htmx else "chat/folder_new.html"
        return render(request, template)
    folder = make_folder(request.user, request.POST.get("name", ""))
    if not request.htmx:
        return redirect("folder", folder.pk)
    return _listed(request, _("Folder created."))


@never_cache
@require_http_methods(["GET", "HEAD", "POST", "DELETE"])
@for_users
def folder(request: UserRequest, folder_id: UUID) -> HttpResponseBase:
    """GET shows the folder and its chats. POST changes it, or only whether it is `open` in the list of chats.
    DELETE deletes it, with its chats if `chats` is "delete"."""
    method = wanted_method(request)
    if method == "DELETE":
        delete_folder(request.user, folder_id, with_chats=request.POST.get("chats") == "delete")
        messages.success(request, _("Folder deleted."))
        return redirect("home")
    if method == "POST" and "open" in request.POST:
        open_folder(request.user, folder_id, is_open=bool(request.POST["open"]))
        return _listed(request) if request.htmx else redirect("folder", folder_id)
    found = folder_for(request.user, folder_id)
    form = FolderForm(request.POST if method == "POST" else None, instance=found, user=request.user)
    if method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            change_folder(
                request.user,
                folder_id,
                name=values["name"],
                instructions=values["instructions"],
                preset_id=values["preset"].pk if values["preset"] else None,
            )
        except ActionError as error:
            form.add_error(None, in_words(error))
        else:
            messages.success(request, _("Saved."))
            return redirect("folder", folder_id)
    limit, after = limit_of(request.GET.get("limit", "")), after_of(request)
    listed = Conversation.objects.kept().filter(folder=found)
    chats = list(below(listed, request.user, after, by="updated_at")[: limit + 1])
    context = {
        **files_context(found),
        "form": form,
        "folder": Folder.objects.get(pk=folder_id),
        "chats": chats[:limit],
        "more": more_of(chats, limit, after),
    }
    return render(request, "chat/folder.html", context, status=400 if form.errors else 200)


@require_POST
@for_users
def folder_chats(request: UserRequest, folder_id: UUID) -> HttpResponseBase:
    """Begins a chat in the folder: its page, or that on which its preset asks for variables."""
    conversation_id, preset = begin_in_folder(request.user, folder_id)
    if preset is None:
        return redirect_to_chat(request, reverse("conversation", args=[conversation_id]))
    url = f"{reverse('preset_choice', args=[conversation_id])}?preset={preset.pk}"
    return HttpResponse(headers={"HX-Redirect": url}) if request.htmx else redirect(url)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_users
def conversation_folder(request: UserRequest, conversation_id: UUID) -> HttpResponseBase:
    """GET offers the folders. POST moves the chat to `folder`, to a new folder with this `name`, or with
    neither out of its folder."""
    if request.method != "POST":
        context = {
            "conversation": conversation_for(request.user, conversation_id),
            "folders": Folder.objects.filter(owner=request.user),
        }
        template = "chat/_folder_choice.html" if request.htmx else "chat/folder_choice.html"
        return render(request, template, context)
    wanted = optional_uuid_of(request.POST.get("folder", ""))
    if name := request.POST.get("name", ""):
        conversation_for(request.user, conversation_id)
        wanted = make_folder(request.user, name).pk
    move_conversation(request.user, conversation_id, wanted)
    if not request.htmx:
        return redirect("conversation", conversation_id)
    head = ""
    if page_of(request) == conversation_id:
        head = fragments.conversation_folder(conversation_for(request.user, conversation_id))
    return _listed(request, _("Chat moved."), head)


def _listed(request: UserRequest, words: str = "", head: str = "") -> HttpResponse:
    html = fragments.conversation_list(list_context(request.user, page_of(request))) + head
    return HttpResponse(html + (fragments.toast(words) if words else ""))
