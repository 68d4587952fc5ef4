"""The audit record: who read, searched or erased conversations, created log-in links or changed rights. It
cannot be changed here."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.admin.base import SteadyAdmin
from chat.models import ServerSettings, TranscriptRead

_FACTS = {
    "email": _("email address"),
    "name": _("name"),
    "active": _("active"),
    "administrator": _("Administrator"),
    "reviewer": _("Can review chats"),
    "groups": _("groups"),
    "factor": _("second factor"),
    "group": _("group"),
    "permissions": _("permissions"),
    "members": _("members"),
    "token": _("API token"),
    "file": _("file"),
}
_SETTINGS = {field.name: field.verbose_name for field in ServerSettings._meta.fields}


@admin.register(TranscriptRead)
class TranscriptReadAdmin(SteadyAdmin):
    list_display = [
        *("number", "at", "reader_email", "how", "owner_email", "conversation", "words", "found"),
        "what_changed",
    ]
    list_filter = ["how", "at"]
    list_display_links = None
    search_fields = ["reader_email", "owner_email", "conversation_id", "words", "details"]
    search_help_text = _("Searches email addresses, chat IDs and search terms.")
    date_hierarchy = "at"
    show_full_result_count = False

    @admin.display(description=_("chat"), ordering="conversation_id", empty_value="-")
    def conversation(self, read: TranscriptRead) -> str | None:
        if read.conversation_id is None:
            return None
        url = reverse("admin:chat_conversation_change", args=[read.conversation_id])
        return format_html('<a href="{}">{}</a>', url, read.conversation_id)

    @admin.display(description=_("details"), empty_value="-")
    def what_changed(self, entry: TranscriptRead) -> str | None:
        facts = _FACTS if entry.how != TranscriptRead.How.SETTINGS else _SETTINGS
        said = (
            f"{facts.get(name, name)}: {_value(before)} → {_value(after)}"
            for name, before, after in entry.changes
        )
        return "; ".join(said) or None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: TranscriptRead | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: TranscriptRead | None = None) -> bool:
        return False


def _value(value: str | bool) -> str:
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    return value or "-"
