"""The tool servers: MCP servers that an administrator adds, with their tools."""

from __future__ import annotations

import json
from typing import Any

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.actions.tool_servers import sync_tool_servers
from chat.admin.base import SteadyAdmin
from chat.admin.tool_server_form import ToolOfServerForm, ToolServerForm
from chat.diagnosis.findings import Finding
from chat.diagnosis.tool_server_checks import check_tool_server
from chat.models import Tool, ToolServer
from chat.rendering.words import translated


class ToolInline(admin.TabularInline):
    """The tools of a server, as it describes them. They are switched on one by one."""

    model = Tool
    form = ToolOfServerForm
    fields = ["described", "enabled", "asks", "seen"]
    readonly_fields = ["described"]
    extra = max_num = 0
    can_delete = False
    ordering = ["name"]
    template = "admin/chat/toolserver/tools.html"
    verbose_name_plural = _("tools")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=_("tool"))
    def described(self, tool: Tool) -> str:
        parameters = json.dumps(tool.definition.get("parameters", {}), indent=2, ensure_ascii=False)
        fault = translated(str(tool.definition.get("fault", "")))
        gone = "" if tool.available or fault else gettext("Not listed any more.")
        changed = gettext("Changed by its server: check it again.") if tool.changed else ""
        return format_html(
            '<strong>{}</strong> <small class="about">{}</small> <strong class="tool-state">{}</strong>'
            '<p class="tool-words">{}</p><details><summary>{}</summary><pre>{}</pre></details>',
            *(tool.title or tool.definition.get("own_name", ""), tool.name),
            *(" ".join(filter(None, [fault, gone, changed])), tool.description),
            *(gettext("Parameters"), parameters),
        )


@admin.register(ToolServer)
class ToolServerAdmin(SteadyAdmin):
    form = ToolServerForm
    inlines = [ToolInline]
    list_display = ["slug", "enabled", "tool_count", "for_everyone", "asks", "problem", "synced_at"]
    list_editable = ["enabled"]
    readonly_fields = ["problem", "synced_at"]
    actions = ["sync"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ToolServer]:
        on, changed = Q(tools__enabled=True), Q(tools__changed=True)
        servers: QuerySet[ToolServer] = super().get_queryset(request)
        return servers.annotate(
            _tools=Count("tools"), _on=Count("tools", filter=on), _changed=Count("tools", filter=changed)
        )

    def get_fieldsets(self, request: HttpRequest, obj: ToolServer | None = None) -> Any:
        state = (gettext("State"), {"fields": ["problem", "synced_at"]})
        if not self.has_change_permission(request, obj) and not self.has_add_permission(request):
            return [(None, {"fields": ["slug", "enabled", "for_everyone", "asks", "seconds"]}), state]
        secret = ToolServerForm(instance=obj).fields
        forget = ["forget"] if "forget" in secret else []
        first = ["slug", "url", "headers", *forget, "enabled", "for_everyone", "groups", "asks"]
        oauth = ["token_url", "client_id", "client_secret", "scope"]
        own = [
            (None, {"fields": first}),
            (gettext("More settings"), {"fields": [*oauth, "seconds"], "classes": ["collapse"]}),
        ]
        return own if obj is None else [*own, state]

    def get_readonly_fields(self, request: HttpRequest, obj: ToolServer | None = None) -> Any:
        """The short name is a part of the names of its tools, which chats have stored."""
        return [*self.readonly_fields, *(["slug"] if obj is not None else [])]

    def save_model(self, request: HttpRequest, obj: ToolServer, form: Any, change: bool) -> None:
        if isinstance(form, ToolServerForm):
            form.filled()
        super().save_model(request, obj, form, change)
        if isinstance(form, ToolServerForm) and obj.enabled:
            request.saved_server = obj.pk  # type: ignore[attr-defined]

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Asks a saved server for its tools after the commit: the request takes seconds."""
        response = super().changeform_view(request, object_id, form_url, extra_context)
        if server := getattr(request, "saved_server", None):
            self._sync(request, [server])
        return response

    def response_add(self, request: HttpRequest, obj: ToolServer, post_url_continue: Any = None) -> Any:
        """Redirects to the server's tools, which are all off."""
        response = super().response_add(request, obj, post_url_continue)
        is_next = "_addanother" in request.POST
        return response if is_next else redirect("admin:chat_toolserver_change", obj.pk)

    def get_urls(self) -> list[URLPattern]:
        name, tested = "chat_toolserver_test", self.admin_site.admin_view(self.test)
        own = [
            path("add/test/", tested, name=f"{name}_new"),
            path("<path:object_id>/change/test/", tested, name=name),
        ]
        return [*own, *super().get_urls()]

    def test(self, request: HttpRequest, object_id: str | None = None) -> HttpResponse:
        """Checks the server as the form describes it, and stores nothing."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self.get_object(request, unquote(object_id)) if object_id is not None else None
        may = self.has_add_permission(request) if row is None else self.has_change_permission(request, row)
        if not may or (row is None and object_id is not None):
            raise PermissionDenied
        findings: list[Finding] = []
        errors: list[str] = []
        form: Any = self.get_form(request, row, change=row is not None)(request.POST, instance=row)
        if form.is_valid():
            findings = async_to_sync(check_tool_server)(form.filled().server())
        else:
            errors = [
                f"{form.fields[name].label}: {'; '.join(str(word) for word in words)}"
                for name, words in form.errors.items()
                if name in form.fields
            ]
        context = {**self.admin_site.each_context(request), "title": gettext("Test"), "opts": self.opts}
        context |= {"findings": findings, "errors": errors, "original": row}
        is_fragment = request.headers.get("X-Requested-With") == "fetch"
        template = "endpoint/_test.html" if is_fragment else "toolserver/test.html"
        return TemplateResponse(request, f"admin/chat/{template}", context)

    @admin.display(description=_("sync error"), ordering="sync_error", empty_value="-")
    def problem(self, server: ToolServer) -> str | None:
        return translated(server.sync_error) or None

    @admin.display(description=_("tools"))
    def tool_count(self, server: ToolServer) -> str:
        words = gettext("{on} of {count} on").format(on=server._on, count=server._tools)  # type: ignore[attr-defined]
        changed = server._changed  # type: ignore[attr-defined]
        more = gettext("{count} changed: check them").format(count=changed) if changed else ""
        return " · ".join(filter(None, [words, more]))

    @admin.action(description=_("Update the list of tools"), permissions=["change"])
    def sync(self, request: HttpRequest, servers: QuerySet[ToolServer]) -> None:
        self._sync(request, list(servers.values_list("pk", flat=True)))

    def _sync(self, request: HttpRequest, ids: list[int]) -> None:
        for result in async_to_sync(sync_tool_servers)(ids):
            if result.error:
                self.message_user(request, f"{result.slug}: {translated(result.error)}", messages.ERROR)
                continue
            words = gettext("{name}: {count} tools, {new} of them new. New tools are off.")
            words = words.format(name=result.slug, count=result.listed, new=result.added)
            self.message_user(request, words)
            if result.changed:
                words = gettext("These tools changed and are off until you enable them again: {names}")
                names = ", ".join(result.changed)
                self.message_user(request, words.format(names=names), messages.WARNING)
