"""Export and import of chats."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.http import content_disposition_header
from django.utils.translation import gettext, gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from chat.actions.chat_export import export_many, export_one
from chat.actions.chat_import import (
    agree_to_import,
    discard_import,
    import_for,
    imports_of,
    receive_import_piece,
    start_import,
    start_uploaded_import,
)
from chat.actions.errors import InvalidInputError, TooLongError
from chat.files import store
from chat.models.conversation import PRODUCTS
from chat.rendering.words import translated
from chat.translatable import translatable
from chat.views.fields import UNREADABLE
from chat.views.responses import UserRequest, for_users, wanted_method

_LISTED = 20
_TYPES = {"md": "text/markdown; charset=utf-8", "json": "application/json", "zip": "application/zip"}
EXTRAS = {
    "folder": gettext_lazy("Folders"),
    "document": gettext_lazy("Files of folders"),
    "preset": gettext_lazy("Presets"),
    "prompt": gettext_lazy("Saved prompts"),
}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_users
def transfer(request: UserRequest) -> HttpResponseBase:
    """GET shows the page. POST takes a `file` to be imported, or the one whose pieces are stored: then
    `uploaded` is its name."""
    if request.method == "POST":
        if "uploaded" in request.POST:
            start_uploaded_import(request.user, name=request.POST["uploaded"])
            return redirect("transfer")
        file = request.FILES.get("file")
        if file is None or file.file is None:
            raise InvalidInputError(translatable("No file was chosen. Choose one first."))
        start_import(request.user, file.file, name=file.name or "", size=file.size or 0)
        return redirect("transfer")
    return render(request, "chat/transfer.html", _context(request))


@require_http_methods(["PATCH"])
@for_users
def import_piece(request: UserRequest) -> HttpResponseBase:
    """Takes the piece at `Upload-Offset` of a file with `Upload-Length` bytes. Returns how many are
    stored."""
    try:
        offset, size = (int(request.headers.get(name, "")) for name in ("Upload-Offset", "Upload-Length"))
    except ValueError:
        offset = size = -1
    if not 0 <= offset <= size < 2**60:
        raise InvalidInputError(UNREADABLE)
    data = request.read(store.PIECE_BYTES + 1)
    if len(data) > store.PIECE_BYTES:
        raise TooLongError(translatable("The page sent too much at once. Reload it."))
    received = receive_import_piece(request.user, size=size, offset=offset, data=bytes(data))
    return JsonResponse({"received": received})


@never_cache
@require_safe
@for_users
def imports(request: UserRequest) -> HttpResponseBase:
    """Returns the list of imports: a fragment for htmx, which asks again while one is open."""
    if not request.htmx:
        return redirect("transfer")
    return render(request, "chat/_imports.html", _context(request))


@require_http_methods(["POST", "DELETE"])
@for_users
def one_import(request: UserRequest, import_id: UUID) -> HttpResponseBase:
    """POST takes the chats of a file that was read, DELETE discards the import."""
    if wanted_method(request) == "DELETE":
        found = import_for(request.user, import_id)
        discard_import(request.user, import_id)
        words = gettext("Import discarded.") if found.is_open else gettext("Entry removed.")
        messages.success(request, words)
    else:
        agree_to_import(request.user, import_id)
    return redirect("transfer")


@never_cache
@require_safe
@for_users
def export_chat(request: UserRequest, conversation_id: UUID) -> HttpResponseBase:
    """Downloads one chat; `format` is `markdown` or `json`."""
    name, pieces = export_one(request.user, conversation_id, request.GET.get("format", "markdown"))
    return StreamingHttpResponse(pieces, headers=_headers(name))


@never_cache
@require_POST
@for_users
def export_chats(request: UserRequest) -> HttpResponseBase:
    """Downloads these `chats`, or all if none is named; `format` is `markdown` or `json`."""
    ids = request.POST.getlist("chats")
    try:
        chosen = [UUID(one) for one in ids] if ids else None
    except ValueError:
        raise InvalidInputError(translatable("There is no such chat.")) from None
    name, pieces = export_many(request.user, chosen, request.POST.get("format", "json"))
    return StreamingHttpResponse(pieces, headers=_headers(name))


def _headers(name: str) -> dict[str, str]:
    return {
        "Content-Type": _TYPES[name.rpartition(".")[2]],
        "Content-Disposition": content_disposition_header(True, name) or "attachment",
    }


def _context(request: UserRequest) -> dict[str, Any]:
    found = list(imports_of(request.user)[:_LISTED])
    for one in found:
        one.product = PRODUCTS.get(one.format, "")  # type: ignore[attr-defined]
        one.error = translated(one.error)
        one.problems = [{**it, "reason": translated(it["reason"])} for it in one.problems]
        one.extra_words = [  # type: ignore[attr-defined]
            (words, number) for name, words in EXTRAS.items() if (number := (one.extras or {}).get(name))
        ]
        one.left_out = {translated(name): number for name, number in one.left_out.items()}
    return {"imports": found, "is_open": any(one.is_open for one in found)}
