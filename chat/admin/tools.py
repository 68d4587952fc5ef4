"""The tools that models may use, and who may switch them on."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.admin.base import SteadyAdmin
from chat.models import Tool


@admin.register(Tool)
class ToolAdmin(SteadyAdmin):
    """The tools. They come from the code and from servers: none can be added here."""

    list_display = ["name_and_origin", "enabled", "asks", "for_everyone"]
    list_editable = ["enabled", "asks", "for_everyone"]
    list_filter = ["enabled", "available"]
    list_select_related = ["server"]
    fields = ["name", "title", "description", "available", "enabled", "asks", "for_everyone", "groups"]
    readonly_fields = ["name", "title", "description", "available"]
    search_fields = ["name", "title"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.display(description=_("tool"), ordering="name")
    def name_and_origin(self, tool: Tool) -> str:
        gone = "" if tool.available else gettext("not offered any more")
        changed = gettext("changed by its server") if tool.changed else ""
        about = " · ".join(filter(None, [str(tool.server or ""), gone, changed]))
        return format_html('{} <small class="about">{}</small>', tool.name, about)
