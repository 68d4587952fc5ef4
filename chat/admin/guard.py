"""No text of a conversation reaches the administration before the audit record has an entry for it.

A view that shows or searches texts first adds its entry with `record`. Without an entry the database refuses:
in a request of the administration or of its API, each query of a text column raises `PermissionDenied`,
whatever view, action or template makes it. The request alone adds the entry, so no page may cause it in
another user's name: `refusal` allows only a navigation of the user.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.core.exceptions import PermissionDenied
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.decorators import sync_and_async_middleware
from django.utils.translation import gettext

from chat.models import (
    Attachment,
    Conversation,
    Feedback,
    Generation,
    JournalEntry,
    Message,
    PresetUse,
    SentRequest,
    Share,
    Summary,
    Tag,
    ToolRun,
    TranscriptRead,
)
from chat.models.audit import Watch, add_to_record, recorded, watch

logger = logging.getLogger(__name__)

_TEXTS: dict[type[Any], tuple[str, ...]] = {
    Message: ("text", "parts"),
    Conversation: ("title",),
    Summary: ("text",),
    PresetUse: ("values", "instructions"),
    SentRequest: ("system",),
    JournalEntry: ("segments",),
    Feedback: ("comment",),
    Generation: ("error_detail",),  # may quote the prompt
    Attachment: ("name",),
    Share: ("secret", "title"),
    Tag: ("name", "key"),
    ToolRun: ("arguments", "result"),
}
# In Django's quoting for both databases. The table may have an alias: a column of that name is enough.
_COLUMNS = {
    f'"{model._meta.db_table}"': re.compile(f'"(?:{"|".join(names)})"') for model, names in _TEXTS.items()
}


def record(*entries: TranscriptRead) -> None:
    """Adds the entries to the audit record. From then on this request may read texts."""
    add_to_record(*entries)
    recorded()


def refusal(request: HttpRequest) -> HttpResponse | None:
    """Returns the response to a GET that is not a navigation of the user: an image, a frame, a script or a
    prefetch would cause an entry in their name. Browsers send Sec-Fetch-Dest (over https and on this
    machine); from others an Accept header for pages is required. A navigation from another site must be
    confirmed."""
    if request.method not in {"GET", "HEAD"}:
        return None
    destination = request.headers.get("Sec-Fetch-Dest")
    if destination is None:
        accept = request.headers.get("Accept")
        is_page = accept is None or "text/html" in accept
    else:
        is_page = destination == "document" and "prefetch" not in request.headers.get("Sec-Purpose", "")
    if not is_page:
        return HttpResponse(gettext("Open this page directly. Access to it is recorded."), status=403)
    if request.headers.get("Sec-Fetch-Site") in {"cross-site", "same-site"}:
        return TemplateResponse(
            request, "admin/chat/confirm.html", {"title": gettext("Continue?")}, status=403
        )
    return None


@sync_and_async_middleware
def watching(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Middleware: watches the queries of an address of the administration until its response is rendered."""
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> Any:
            token = watch.set(_watch_of(request))
            try:
                return await get_response(request)
            finally:
                watch.reset(token)

        return answer_async

    def answer(request: HttpRequest) -> Any:
        token = watch.set(_watch_of(request))
        try:
            return get_response(request)
        finally:
            watch.reset(token)

    return answer


def _watch_of(request: HttpRequest) -> Watch | None:
    watched = (reverse("admin:index"), reverse("api_reference") + "admin/")
    return Watch(request.path) if request.path.startswith(watched) else None


def _guarded(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
    current = watch.get()
    if current is not None and not current.recorded and _names_a_text(sql):
        logger.error("%s tried to read the text of a chat without an audit entry.", current.path)
        raise PermissionDenied
    return execute(sql, params, many, context)


def _names_a_text(sql: str) -> bool:
    if "chat_searchentry" in sql and ("MATCH" in sql or "@@" in sql):
        return True
    return any(table in sql and columns.search(sql) for table, columns in _COLUMNS.items())


def _guard(connection: BaseDatabaseWrapper, **_signal: Any) -> None:
    if _guarded not in connection.execute_wrappers:
        connection.execute_wrappers.append(_guarded)


connection_created.connect(_guard, dispatch_uid="chat.admin.guard")
