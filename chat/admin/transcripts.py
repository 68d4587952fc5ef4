"""Conversations for administrators: to find, read, export and erase, never to change.

Reading, exporting and erasing are recorded with the owner, searches with their words, and views of titles
too. `chat.admin.guard` refuses each query of a text without an audit entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.access import NotFoundError, attachment_in
from chat.actions.erasure import erase_conversations
from chat.admin import guard
from chat.admin.authority import acting_user
from chat.admin.base import SteadyAdmin, is_too_long, too_long_words
from chat.admin.export import conversations_as_json_lines
from chat.downloads import file_response
from chat.models import ChatModel, Conversation, Generation, Message, Status, TranscriptRead
from chat.models.audit import Change, add_to_record, recorded, was_read
from chat.search.catch_up import is_complete
from chat.search.find import conversations_with
from chat.search.query import term_of

MESSAGES_PER_PAGE = 200
_EXPORT_LIMIT = 10_000
_LIST_LIMIT = 5_000  # results as a list of ids: one search serves the count and the page


class _StateFilter(admin.SimpleListFilter):
    title = _("state of a reply")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(status.value, status.label) for status in Status]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> QuerySet[Conversation]:
        return _with_reply(queryset, status=self.value()) if self.value() else queryset


class _ModelFilter(admin.SimpleListFilter):
    title = _("model")
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        models = ChatModel.objects.filter(Exists(Generation.objects.filter(model=OuterRef("pk"))))
        return [(str(model.pk), model.label) for model in models]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> QuerySet[Conversation]:
        value = self.value() or ""
        return _with_reply(queryset, model=int(value)) if value.isdecimal() and len(value) < 18 else queryset


@admin.register(Conversation)
class TranscriptAdmin(SteadyAdmin):
    list_display = ["name", "owner", "message_count", "last_state", "created_at", "updated_at"]
    list_filter = [
        "updated_at",
        _StateFilter,
        _ModelFilter,
        ("deleted_at", admin.EmptyFieldListFilter),
        ("owner", admin.RelatedOnlyFieldListFilter),
    ]
    list_select_related = ["owner"]
    list_per_page = 50
    search_fields = ["title"]
    search_help_text = _("Searches titles, messages and email addresses.")
    show_full_result_count = False
    actions = ["export"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        """Without erased ones. The annotations are subqueries, for the rows of the page only."""
        replies = Generation.objects.filter(conversation=OuterRef("pk"))
        counts = Message.objects.filter(conversation=OuterRef("pk")).order_by().values("conversation")
        conversations: QuerySet[Conversation] = super().get_queryset(request)
        return conversations.exclude(deleted_at__isnull=False, last_position=0).annotate(
            _messages=Coalesce(Subquery(counts.annotate(count=Count("pk")).values("count")), 0),
            _reply=Subquery(replies.order_by("-queued_at").values("status")[:1]),
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Conversation], search_term: str
    ) -> tuple[QuerySet[Conversation], bool]:
        """Every word must occur, or begin one. `"Words in quotation marks"` must stand together."""
        if is_too_long(search_term):
            messages.error(request, too_long_words())
            return queryset.none(), False
        if request.resolver_match and request.resolver_match.url_name == "autocomplete":
            raise PermissionDenied  # No field here completes a chat, and the request comes from a script.
        words = _pieces(search_term)
        if not words:
            return queryset, False
        return self._recorded_search(request, queryset, words), False

    def _recorded_search(
        self, request: HttpRequest, conversations: QuerySet[Conversation], words: list[str]
    ) -> QuerySet[Conversation]:
        """Searches once per request, however often Django evaluates the list in it."""
        if not hasattr(request, "_searched"):
            recorded()
            if not is_complete():
                text = gettext("The search index is still being built. Older chats may be missing.")
                messages.warning(request, text)
            found = conversations
            for word in words:
                term = term_of(word.strip('"'), is_phrase=word.startswith('"'))
                written = Q(pk__in=conversations_with(term)) if term else Q()
                word = word.strip('"')
                found = found.filter(Q(title__icontains=word) | Q(owner__email__icontains=word) | written)
            ids = list(found.values_list("pk", flat=True)[: _LIST_LIMIT + 1])
            is_all = len(ids) <= _LIST_LIMIT
            request._searched = conversations.filter(pk__in=ids) if is_all else found  # type: ignore[attr-defined]
            count = len(ids) if is_all else found.count()
            add_to_record(TranscriptRead.of_search(" ".join(words), count, acting_user(request)))
        return request._searched  # type: ignore[attr-defined, no-any-return]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """A search adds its own entry. The list without a search shows titles, which are the beginnings of
        first prompts."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if refusal := guard.refusal(request):
            return refusal
        term = request.GET.get(SEARCH_VAR, "")
        if is_too_long(term) or not term.replace("\x00", "").split():
            guard.record(TranscriptRead.by(acting_user(request), TranscriptRead.How.TITLES))
        return super().changelist_view(request, extra_context)

    @admin.display(description=_("title"))
    def name(self, conversation: Conversation) -> str:
        if conversation.deleted_at is None:
            return str(conversation)
        deleted = gettext("deleted by its owner")
        return format_html('{} <small class="about">{}</small>', str(conversation), deleted)

    @admin.display(description=_("messages"), ordering="_messages")
    def message_count(self, conversation: Conversation) -> int:
        return int(conversation._messages)  # type: ignore[attr-defined]

    @admin.display(description=_("last reply"), empty_value="-")
    def last_state(self, conversation: Conversation) -> str | None:
        state: str | None = conversation._reply  # type: ignore[attr-defined]
        return str(Status(state).label) if state else None

    # --- Reading -----------------------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if refusal := self._record_or_refuse(request, object_id, TranscriptRead.How.READ):
            return refusal
        conversation = self.get_object(request, object_id)
        if conversation is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined, no-any-return]
        # Only the index is read for the pages before this one: otherwise the last page of a long transcript
        # would read all messages and their related rows.
        pages = Paginator(conversation.messages.values_list("pk", flat=True), MESSAGES_PER_PAGE)
        page = pages.get_page(request.GET.get("page"))
        shown = Message.objects.filter(pk__in=list(page.object_list)).order_by("position")
        page.object_list = shown.select_related("generation__model").prefetch_related("generation__journal")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": str(conversation),
            "conversation": conversation,
            "page": page,
            "page_range": pages.get_elided_page_range(page.number),
            "has_delete_permission": self.has_delete_permission(request, conversation),
        }
        return TemplateResponse(request, "admin/chat/conversation/transcript.html", context)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        refusal = self._record_or_refuse(request, object_id, TranscriptRead.How.TITLES)
        return refusal or super().history_view(request, object_id, extra_context)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.file_view)
        own = path("<uuid:object_id>/files/<uuid:file_id>/", view, name="chat_conversation_file")
        return [own, *super().get_urls()]

    def file_view(self, request: HttpRequest, object_id: UUID, file_id: UUID) -> HttpResponseBase:
        """Returns a file of the chat. Each opening is recorded. The small pictures belong to the transcript,
        whose reading was recorded."""
        is_small = "thumbnail" in request.GET
        if is_small:
            if not self.has_view_permission(request) or not was_read(object_id, acting_user(request)):
                raise PermissionDenied
            recorded()
        elif refusal := self._record_or_refuse(
            request, str(object_id), TranscriptRead.How.READ, [("file", "", str(file_id))]
        ):
            return refusal
        try:
            found = attachment_in(object_id, file_id)
        except NotFoundError:
            raise Http404 from None
        if is_small and not (found.stored and found.stored.thumbnail):
            raise Http404  # without a small picture, the whole file would follow
        return file_response(request, found, thumbnail=is_small)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        refusal = self._record_or_refuse(request, object_id, TranscriptRead.How.TITLES)
        return refusal or super().delete_view(request, object_id, extra_context)

    def _record_or_refuse(
        self, request: HttpRequest, object_id: str, how: TranscriptRead.How, changes: Iterable[Change] = ()
    ) -> HttpResponse | None:
        """Adds the entry before anything is read, or returns the response that refuses."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if refusal := guard.refusal(request):
            return refusal
        found = None
        with suppress(ValueError):
            pk = UUID(unquote(object_id))
            found = Conversation.objects.select_related("owner").only("owner__email").filter(pk=pk).first()
        if found is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined, no-any-return]
        guard.record(TranscriptRead.of(found, acting_user(request), how, changes))
        return None

    @admin.action(description=_("Export as JSON Lines"), permissions=["view"])
    def export(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> HttpResponseBase | None:
        conversations = list(queryset.select_related("owner").defer("head")[: _EXPORT_LIMIT + 1])
        if len(conversations) > _EXPORT_LIMIT:
            words = gettext("One file can hold at most {limit} chats. Select fewer.")
            self.message_user(request, words.format(limit=_EXPORT_LIMIT), messages.ERROR)
            return None
        how = TranscriptRead.How.EXPORTED
        guard.record(*(TranscriptRead.of(each, acting_user(request), how) for each in conversations))
        return StreamingHttpResponse(
            conversations_as_json_lines([conversation.pk for conversation in conversations]),
            content_type="application/jsonl",
            headers={
                "Content-Disposition": f'attachment; filename="steady-{timezone.now():%Y-%m-%d}.jsonl"',
                "Cache-Control": "no-store",
            },
        )

    # --- Erasing -----------------------------------------------------------------------------------------

    def delete_model(self, request: HttpRequest, obj: Conversation) -> None:
        erase_conversations([obj.pk], by=acting_user(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> None:
        erase_conversations(queryset.values_list("pk", flat=True), by=acting_user(request))

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> list[LogEntry]:
        """Adds nothing to Django's log, which would keep the title: the audit record has the entry."""
        return []

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """Returns the content of the confirmation without loading every message of every conversation."""
        names = [f"{conversation} ({conversation.owner})" for conversation in objs]
        ids: list[UUID] = [conversation.pk for conversation in objs]
        counts = {
            gettext("chats"): len(ids),
            gettext("messages"): Message.objects.filter(conversation__in=ids).count(),
        }
        return names, counts, set(), []

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Conversation | None = None) -> bool:
        return False


def _pieces(search_term: str) -> list[str]:
    """Returns the words and the phrases in quotation marks."""
    return re.findall(r'"[^"]+"|[^\s"]+', search_term.replace("\x00", ""))


def _with_reply(queryset: QuerySet[Conversation], **what: Any) -> QuerySet[Conversation]:
    return queryset.filter(Exists(Generation.objects.filter(conversation=OuterRef("pk"), **what)))
