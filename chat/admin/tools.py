"""The tools that models may use, and who may switch them on."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.admin.base import SteadyAdmin
from chat.models import Tool


@admin.register(Tool)
class ToolAdmin(SteadyAdmin):
    """The tools of this server. They come from the code: none can be added here. Those of tool servers are
    switched on in the page of their server."""

    list_display = ["name_and_origin", "enabled", "asks", "for_everyone"]
    list_editable = ["enabled", "asks", "for_everyone"]
    list_filter = ["enabled", "available"]
    fields = ["name", "title", "description", "available", "enabled", "asks", "for_everyone", "groups"]
    readonly_fields = ["name", "title", "description", "available"]
    search_fields = ["name", "title"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tool]:
        tools: QuerySet[Tool] = super().get_queryset(request)
        return tools.filter(server=None)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.display(description=_("tool"), ordering="name")
    def name_and_origin(self, tool: Tool) -> str:
        gone = "" if tool.available else gettext("not offered any more")
        return format_html('{} <small class="about">{}</small>', tool.name, gone)
