"""Who read whose conversation. Nobody can change it here."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from chat.models import TranscriptRead


@admin.register(TranscriptRead)
class TranscriptReadAdmin(admin.ModelAdmin):
    list_display = ["at", "reader_email", "how", "owner_email", "conversation_id"]
    list_filter = ["how", "at"]
    list_display_links = None
    search_fields = ["reader_email", "owner_email", "conversation_id"]
    search_help_text = _("Search by an address or by the id of a conversation.")
    date_hierarchy = "at"
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: TranscriptRead | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: TranscriptRead | None = None) -> bool:
        return False
