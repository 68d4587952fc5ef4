"""Who read whose conversation, and who searched for what. Nobody can change it here."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from chat.admin.base import SteadyAdmin
from chat.models import TranscriptRead


@admin.register(TranscriptRead)
class TranscriptReadAdmin(SteadyAdmin):
    list_display = ["at", "reader_email", "how", "owner_email", "conversation", "words", "found"]
    list_filter = ["how", "at"]
    list_display_links = None
    search_fields = ["reader_email", "owner_email", "conversation_id", "words"]
    search_help_text = _("Search by an address, by the id of a conversation, or by what was searched for.")
    date_hierarchy = "at"
    show_full_result_count = False

    @admin.display(description=_("conversation"), ordering="conversation_id", empty_value="-")
    def conversation(self, read: TranscriptRead) -> str | None:
        if read.conversation_id is None:
            return None
        url = reverse("admin:chat_conversation_change", args=[read.conversation_id])
        return format_html('<a href="{}">{}</a>', url, read.conversation_id)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: TranscriptRead | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: TranscriptRead | None = None) -> bool:
        return False
