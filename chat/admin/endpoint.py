"""The endpoints of all three sources in one list. Those of the administration are added and changed here."""

from __future__ import annotations

from re import sub
from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet, Value
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.actions.catalog import SyncResult, sync_catalog
from chat.actions.endpoint import read_provider_file
from chat.admin.base import SteadyAdmin
from chat.admin.endpoint_form import EndpointForm
from chat.diagnosis.endpoint_checks import check_endpoint, enabled_models
from chat.diagnosis.findings import Finding
from chat.models import Endpoint, Generation, Status, User
from chat.rendering.words import seconds, translated

_FAILURES = 5
_SOURCES = {
    "environment": _("environment"),
    "file": _("file"),
    "administration": _("administration"),
    "": _("not set up any more"),
}
_STATE = ("source", "synced_at", "problem", "sync_detail", "speed", "latency", "failures")
_MEASURED = 200  # of the last replies


@admin.register(Endpoint)
class EndpointAdmin(SteadyAdmin):
    form = EndpointForm
    list_display = [
        "name",
        "source",
        "enabled",
        "position",
        "model_count",
        "problem",
        "synced_at",
        "shown_address",
    ]
    list_editable = ["enabled", "position"]
    readonly_fields = ["slug", "shown_address", *_STATE]
    actions = ["sync"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        endpoints: QuerySet[Endpoint] = super().get_queryset(request)
        reads = isinstance(request.user, User) and request.user.has_perm("chat.view_conversation")
        return endpoints.annotate(_models=Count("models"), _reads=Value(reads))

    def get_fieldsets(self, request: HttpRequest, obj: Endpoint | None = None) -> Any:
        state = (gettext("State"), {"fields": _STATE})
        if obj is not None and obj.source != "administration":
            return [
                (None, {"fields": ["slug", "name", "enabled", "position", "at_once", "shown_address"]}),
                state,
            ]
        if not self.has_change_permission(request, obj) and not self.has_add_permission(request):
            return [
                (None, {"fields": ["slug", "name", "kind", "enabled", "position", "shown_address"]}),
                state,
            ]
        secret = EndpointForm(instance=obj).fields
        first = [
            "name",
            "kind",
            "address",
            "region",
            "project",
            "key",
            *(["forget"] if "forget" in secret else []),
            "enabled",
        ]
        network = ["position", "at_once", "headers", "query", "proxy", "authority"]
        limits = ["connect_seconds", "first_token_seconds", "silence_seconds"]
        own = [
            (None, {"fields": first}),
            (gettext("More settings"), {"fields": [*network, *limits], "classes": ["collapse"]}),
        ]
        return own if obj is None else [*own, state]

    def get_readonly_fields(self, request: HttpRequest, obj: Endpoint | None = None) -> Any:
        is_fixed = obj is not None and obj.source != "administration"
        return [*self.readonly_fields, *(["name"] if is_fixed else [])]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """Without the fields of the form's own on the page of an endpoint that is not edited here."""
        form = super().get_form(request, obj, change=change, **kwargs)
        if obj is not None and obj.source != "administration":
            declared = dict.fromkeys(("key", "headers", "query", "proxy", "forget"))
            return type(form.__name__, (form,), declared)
        return form

    def save_model(self, request: HttpRequest, obj: Endpoint, form: Any, change: bool) -> None:
        if isinstance(form, EndpointForm) and "kind" in form.fields:
            form.filled()
            request.saved_endpoint = obj.slug if obj.enabled else None  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """Asks a saved endpoint for its models after the commit: the request takes seconds, and other threads
        read the row."""
        response = super().changeform_view(request, object_id, form_url, extra_context)
        if slug := getattr(request, "saved_endpoint", None):
            self._sync(request, {slug})
        return response

    def get_urls(self) -> list[URLPattern]:
        name = "chat_endpoint_read_file"
        test, tested = "chat_endpoint_test", self.admin_site.admin_view(self.test)
        own = [
            path("read-file/", self.admin_site.admin_view(self.read_file), name=name),
            path("add/test/", tested, name=f"{test}_new"),
            path("<path:object_id>/change/test/", tested, name=test),
        ]
        return [*own, *super().get_urls()]

    def test(self, request: HttpRequest, object_id: str | None = None) -> HttpResponse:
        """Checks the endpoint as the form describes it, and stores nothing."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self.get_object(request, unquote(object_id)) if object_id is not None else None
        may = self.has_add_permission(request) if row is None else self.has_change_permission(request, row)
        if not may or (row is None and object_id is not None):
            raise PermissionDenied
        findings: list[Finding] = []
        errors: list[str] = []
        config = row.config() if row is not None else None
        if row is None or row.source == "administration":
            form = self.get_form(request, row, change=row is not None)(request.POST, instance=row)
            if form.is_valid():
                config = form.filled().config()
            else:
                config = None
                errors = [
                    f"{form.fields[name].label}: {'; '.join(words)}" for name, words in _errors_of(form)
                ]
        if config is not None:
            models = enabled_models(config.slug)
            findings = async_to_sync(check_endpoint)(config, models=models)
        context = {**self.admin_site.each_context(request), "title": gettext("Test"), "opts": self.opts}
        context |= {"findings": findings, "errors": errors, "original": row}
        is_fragment = request.headers.get("X-Requested-With") == "fetch"
        template = "_test.html" if is_fragment else "test.html"
        return TemplateResponse(request, f"admin/chat/endpoint/{template}", context)

    def read_file(self, request: HttpRequest) -> HttpResponse:
        """Reads the file of providers again, in all processes."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_change_permission(request):
            raise PermissionDenied
        if error := read_provider_file():
            self.message_user(request, error, messages.ERROR)
        else:
            count = len(settings.CHAT_PROVIDER_FILE.endpoints)
            words = gettext("The file was read again. It has {count} providers.").format(count=count)
            self.message_user(request, words)
            self._sync(request, set(settings.CHAT_PROVIDER_FILE.endpoints))
        return redirect("admin:chat_endpoint_changelist")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        file = settings.CHAT_PROVIDER_FILE
        about = {
            "provider_file": file.path if self.has_change_permission(request) else "",
            "provider_file_error": file.error,
        }
        return super().changelist_view(request, {**about, **(extra_context or {})})

    @admin.display(description=_("source"))
    def source(self, endpoint: Endpoint) -> str:
        return str(_SOURCES[endpoint.source])

    @admin.display(description=_("address"), empty_value="-")
    def shown_address(self, endpoint: Endpoint) -> str | None:
        """Without the name and password before the host."""
        config = endpoint.config()
        if config is None or config.kind == "demo":
            return endpoint.address or None
        return sub(r"//[^/]*@", "//", config.base_url) if config.base_url else gettext("provider default")

    @admin.display(description=_("sync error"), ordering="sync_error", empty_value="-")
    def problem(self, endpoint: Endpoint) -> str | None:
        if endpoint.source and endpoint.config() is None:
            return gettext("The stored key cannot be read with this SECRET_KEY. Type it again.")
        if endpoint.sync_error or not endpoint.sync_detail:
            return translated(endpoint.sync_error) or None
        return gettext("Some listed models cannot be used. Open the provider for details.")

    @admin.display(description=_("time to the first word"), empty_value="-")
    def speed(self, endpoint: Endpoint) -> str | None:
        """Of the last replies: half of them began within the first number, and nearly all within the
        second."""
        return _half_within(Generation.objects.filter(model__endpoint=endpoint), "first_token_at")

    @admin.display(description=_("time of a whole reply"), empty_value="-")
    def latency(self, endpoint: Endpoint) -> str | None:
        """As `speed`, until the end of complete replies."""
        complete = Generation.objects.filter(model__endpoint=endpoint, status=Status.COMPLETE)
        return _half_within(complete, "finished_at")

    @admin.display(description=_("recent failed replies"), empty_value="-")
    def failures(self, endpoint: Endpoint) -> str | None:
        """Without the provider's own words, which may quote a prompt: the transcript has them, and opening it
        is recorded. Reviewers get the links."""
        replies = Generation.objects.filter(model__endpoint=endpoint, status=Status.FAILED)
        latest = replies.order_by("-finished_at")[:_FAILURES].values_list(
            "finished_at", "model_label", "error_message", "error_code", "conversation"
        )
        rows = []
        for at, model, words, code, conversation in latest:
            when = localize(localtime(at)) if at else "-"
            if endpoint._reads:  # type: ignore[attr-defined]
                url = reverse("admin:chat_conversation_change", args=[conversation])
                when = format_html('<a href="{}">{}</a>', url, when)
            rows.append((when, model, translated(words), code))
        return format_html_join(mark_safe("<br>"), "{} · {}: {} ({})", rows) or None

    @admin.display(ordering="_models", description=_("models"))
    def model_count(self, endpoint: Endpoint) -> int:
        return int(endpoint._models)  # type: ignore[attr-defined]

    @admin.action(description=_("Update the list of models"), permissions=["change"])
    def sync(self, request: HttpRequest, endpoints: QuerySet[Endpoint]) -> None:
        if not self._sync(request, set(endpoints.values_list("slug", flat=True))):
            self.message_user(
                request, gettext("None of these providers is configured and available."), messages.WARNING
            )

    def _sync(self, request: HttpRequest, slugs: set[str]) -> list[SyncResult]:
        """Asks these endpoints for their models, and shows the results."""
        results = async_to_sync(sync_catalog)(slugs)
        for result in results:
            if result.error:
                self.message_user(request, f"{result.slug}: {translated(result.error)}", messages.ERROR)
            else:
                words = gettext("{name}: {count} models, {new} of them new.")
                words = words.format(name=result.slug, count=result.listed, new=result.added)
                self.message_user(request, words)
                if result.remark:
                    self.message_user(request, result.remark, messages.WARNING)
        return results


def _errors_of(form: Any) -> list[tuple[str, list[str]]]:
    return [
        (name, [str(word) for word in words]) for name, words in form.errors.items() if name in form.fields
    ]


def _half_within(replies: QuerySet[Generation], until: str) -> str | None:
    """Returns the times of the last of these replies, from the start until that column, in words."""
    replies = replies.filter(started_at__isnull=False, **{f"{until}__isnull": False})
    rows = replies.order_by("-finished_at").values_list("started_at", until)[:_MEASURED]
    times = sorted((end - start).total_seconds() for start, end in rows)
    if not times:
        return None
    words = gettext("half within {half}, 95% within {most} (of the last {count} replies)")
    most = times[min(len(times) - 1, len(times) * 95 // 100)]
    return words.format(half=seconds(times[len(times) // 2]), most=seconds(most), count=len(times))
