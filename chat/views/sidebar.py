"""The list of a user's chats: grouped by date, with marks for running and unread replies.

The page requests it every few seconds while it is visible, and at once after a change of its own chat.
`stamp` makes the usual response, that nothing is new, cheap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import blake2s
from itertools import groupby
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, QuerySet, prefetch_related_objects
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from chat.access import conversations_of, deleted_conversations_of
from chat.actions.conversation import see_conversation
from chat.actions.housekeeping import undo_limit
from chat.actions.selection import MOST as MOST_SELECTED
from chat.models import LIVE, Conversation, Folder, Generation, Message, Role, User
from chat.models.prepared import Prepared
from chat.views.fields import number_of
from chat.views.responses import UserRequest, for_users

LISTED = 60  # chats in the list at first
IN_FOLDER = 10  # chats of an open folder
MOST = 2000  # chats in the list at once; older ones are on a list of their own
_ORDER = (F("pinned_at").desc(nulls_last=True), "-updated_at", "-id")

_ON_PAGE = re.compile(r"/conversations/([0-9a-f-]{36})/")


@dataclass(frozen=True, slots=True)
class Entry:
    """`state` is "running", "new" (a reply since the user's last view) or ""."""

    conversation: Conversation
    state: str


@dataclass(frozen=True, slots=True)
class Group:
    label: str
    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class FolderGroup:
    """A folder with its newest chats, none if it is closed. `has_more`: the page of the folder has others."""

    folder: Folder
    entries: list[Entry]
    has_more: bool = False


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@for_users
def conversation_list(request: UserRequest) -> HttpResponseBase:
    """GET lists and writes nothing. POST first records up to which revision the chat on the page was seen."""
    current = page_of(request)
    if current and request.method == "POST":
        see_conversation(request.user, current, number_of(request.POST.get("seen", "")))
    context = list_context(
        request.user,
        current,
        archived=bool(request.GET.get("archived")),
        deleted=bool(request.GET.get("deleted")),
        limit=limit_of(request.GET.get("limit", "")),
        after=after_of(request),
        selecting=bool(request.GET.get("select")),
    )
    if request.htmx and request.GET.get("stamp") == context["stamp"]:
        return HttpResponse(status=204)
    return render(request, "chat/_conversation_list.html" if request.htmx else "chat/list.html", context)


def list_context(
    user: User,
    current: UUID | None,
    *,
    archived: bool = False,
    deleted: bool = False,
    limit: int = LISTED,
    after: UUID | None = None,
    selecting: bool = False,
) -> dict[str, Any]:
    """Returns the context of `_conversation_list.html`. `current` is the chat on the page. `deleted` lists
    the chats that can be restored. `after` lists those below this one. `selecting`: chats can be selected."""
    part = "&deleted=1" if deleted else "&archived=1" if archived else ""
    part += "&select=1" if selecting else ""
    chosen: dict[str, Any] = {"selecting": selecting, "part": part}
    chosen["after_part"] = f"&after={after}" if after else ""
    if selecting:
        chosen |= {"listed_part": part.removesuffix("&select=1"), "most_selected": MOST_SELECTED}
        chosen["folders"] = list(Folder.objects.filter(owner=user))
    if deleted:
        restorable = deleted_conversations_of(user, undo_limit()).prefetch_related("tags")
        restorable = below(restorable, user, after, by="deleted_at")
        gone = [Entry(conversation, "") for conversation in restorable[: limit + 1]]
        gone_context = {
            "groups": [Group(_("Deleted chats"), gone[:limit])] if gone else [],
            "current": current,
            "deleted": True,
            **chosen,
            "days": settings.CHAT_KEEP_DELETED_DAYS,
            "limit": limit,
            "more": more_of([entry.conversation for entry in gone], limit, after),
        }
        return {**gone_context, "stamp": _stamp(gone_context)}
    conversations = conversations_of(user).filter(archived_at__isnull=not archived)
    if not archived and not selecting:
        conversations = conversations.filter(folder=None)
    conversations = below(conversations, user, after, by="updated_at", pinned_first=True)
    if archived or selecting or after or limit != LISTED:
        found = list(_with_state(conversations.order_by(*_ORDER)[: limit + 1]))
    else:
        found = _listed.all(user.pk)
    prefetch_related_objects(found, "tags")
    entries = [Entry(found_one, _state(found_one, current)) for found_one in found[:limit]]
    context: dict[str, Any] = {
        "groups": list(_grouped(entries)),
        "current": current,
        "folder_groups": [] if archived or selecting else _folders(user, current),
        "archived": archived,
        **chosen,
        "limit": limit,
        "more": more_of(found, limit, after),
        "has_archived": bool(_archived.all(user.pk)),
        "has_deleted": bool(_restorable.all(user.pk, undo_limit())),
    }
    return {**context, "stamp": _stamp(context)}


def page_of(request: UserRequest) -> UUID | None:
    """Returns the chat on the page that htmx requests from."""
    found = _ON_PAGE.search(request.headers.get("HX-Current-URL", ""))
    try:
        return UUID(found[1]) if found else None
    except ValueError:
        return None


def limit_of(value: str) -> int:
    return min(int(value), MOST) if value.isascii() and value.isdigit() and len(value) < 6 else LISTED


def after_of(request: UserRequest) -> UUID | None:
    try:
        return UUID(request.GET.get("after", ""))
    except ValueError:
        return None


def more_of(found: Sequence[Conversation], limit: int, after: UUID | None) -> str:
    """Returns the query of the address that lists more than these chats, of which one too many was read; ""
    if there are no more."""
    if len(found) <= limit:
        return ""
    if limit < MOST:
        return f"limit={min(limit * 4, MOST)}" + (f"&after={after}" if after else "")
    return f"limit={limit}&after={found[limit - 1].pk}"


def below(
    conversations: QuerySet[Conversation],
    user: User,
    after: UUID | None,
    *,
    by: str,
    pinned_first: bool = False,
) -> QuerySet[Conversation]:
    """Returns those that a list has below the chat `after`, all if the user has no such chat. The newest by
    this column are first, perhaps below those that are pinned."""
    if after is None:
        return conversations
    last = Conversation.objects.filter(owner=user, pk=after, **{f"{by}__isnull": False}).first()
    if last is None:
        return conversations
    at = getattr(last, by)
    older = Q(**{f"{by}__lt": at}) | Q(**{by: at, "pk__lt": last.pk})
    if pinned_first and last.pinned_at:
        older = Q(pinned_at=None) | Q(pinned_at__lt=last.pinned_at) | (Q(pinned_at=last.pinned_at) & older)
    elif pinned_first:
        older &= Q(pinned_at=None)
    return conversations.filter(older)


def _folders(user: User, current: UUID | None) -> list[FolderGroup]:
    """A query for each open folder: one for all would read all chats in them."""
    groups = []
    for folder in _own_folders.all(user.pk):
        found: list[Any] = []
        if folder.is_open:
            found = _in_folder.all(user.pk, folder.pk)
        entries = [Entry(each, _state(each, current)) for each in found[:IN_FOLDER]]
        groups.append(FolderGroup(folder, entries, has_more=len(found) > IN_FOLDER))
    prefetch_related_objects([entry.conversation for group in groups for entry in group.entries], "tags")
    return groups


def _with_state(conversations: Any) -> Any:
    live = Generation.objects.filter(conversation=OuterRef("pk"), status__in=LIVE)
    news = Message.objects.filter(
        conversation=OuterRef("pk"), role=Role.ASSISTANT, revision__gt=OuterRef("seen_revision")
    ).exclude(generation__status__in=LIVE)
    return conversations.annotate(is_running=Exists(live), has_news=Exists(news))


_own_folders = Prepared(lambda user: Folder.objects.filter(owner=user), int)
_listed = Prepared(
    lambda user: _with_state(
        conversations_of(User(pk=user)).filter(archived_at=None, folder=None).order_by(*_ORDER)[: LISTED + 1]
    ),
    int,
)
_in_folder = Prepared(
    lambda user, folder: _with_state(
        conversations_of(User(pk=user))
        .filter(folder=folder, archived_at=None)
        .order_by(*_ORDER)[: IN_FOLDER + 1]
    ),
    int,
    UUID,
)
_archived = Prepared(
    lambda user: (
        conversations_of(User(pk=user)).filter(archived_at__isnull=False).values_list("pk", flat=True)[:1]
    ),
    int,
)
_restorable = Prepared(
    lambda user, since: deleted_conversations_of(User(pk=user), since).values_list("pk", flat=True)[:1],
    int,
    datetime,
)


def _state(conversation: Any, current: UUID | None) -> str:
    if conversation.is_running:
        return "running"
    return "new" if conversation.has_news and conversation.pk != current else ""


def _grouped(entries: Iterable[Entry]) -> Iterable[Group]:
    today = timezone.localdate()
    pinned = [entry for entry in entries if entry.conversation.pinned_at]
    if pinned:
        yield Group(_("Pinned"), pinned)
    rest = (entry for entry in entries if not entry.conversation.pinned_at)
    for label, group in groupby(rest, lambda entry: _day(entry.conversation, today)):
        yield Group(label, list(group))


def _day(conversation: Conversation, today: date) -> str:
    day = timezone.localdate(conversation.updated_at)
    if day >= today:
        return _("Today")
    if day == today - timedelta(days=1):
        return _("Yesterday")
    if day > today - timedelta(days=7):
        return _("Last 7 days")
    if day > today - timedelta(days=30):
        return _("Last 30 days")
    return date_format(day, "YEAR_MONTH_FORMAT")


def _tags(entry: Entry) -> list[str]:
    return [tag.name for tag in entry.conversation.tags.all()]


def _stamp(context: dict[str, Any]) -> str:
    shown = [(group.label, _shown(group.entries)) for group in context["groups"]]
    folders = [
        (str(it.folder.pk), it.folder.name, it.folder.is_open, it.has_more, _shown(it.entries))
        for it in context.get("folder_groups", ())
    ]
    rest = {key: value for key, value in context.items() if key not in {"groups", "folder_groups"}}
    return blake2s(repr((shown, folders, rest, get_language())).encode(), digest_size=8).hexdigest()


def _shown(entries: Iterable[Entry]) -> list[object]:
    return [(str(it.conversation.pk), it.conversation.title, it.state, _tags(it)) for it in entries]
