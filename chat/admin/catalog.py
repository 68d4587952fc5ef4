"""The models that users may use, and their prices."""

from __future__ import annotations

from re import sub

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Count, QuerySet, Value
from django.http import HttpRequest
from django.urls import reverse
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.timezone import localtime
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from chat.actions.catalog import sync_catalog
from chat.admin.base import SteadyAdmin
from chat.models import ChatModel, Endpoint, Generation, Status, User
from chat.rendering.words import translated

_FAILURES = 5


@admin.register(Endpoint)
class EndpointAdmin(SteadyAdmin):
    """The endpoints. They are configured in the environment: none can be added here, and one that is not
    configured any more can be deleted."""

    list_display = [
        "name",
        "enabled",
        "position",
        "model_count",
        "problem",
        "synced_at",
        "address",
        "configured",
    ]
    list_editable = ["enabled", "position"]
    fields = [
        *("slug", "name", "enabled", "position"),
        *("configured", "address", "synced_at", "problem", "sync_detail", "failures"),
    ]
    readonly_fields = ["slug", "configured", "address", "synced_at", "problem", "sync_detail", "failures"]
    actions = ["sync"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Endpoint]:
        endpoints: QuerySet[Endpoint] = super().get_queryset(request)
        reads = isinstance(request.user, User) and request.user.has_perm("chat.view_conversation")
        return endpoints.annotate(_models=Count("models"), _reads=Value(reads))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.display(boolean=True, description=_("configured"))
    def configured(self, endpoint: Endpoint) -> bool:
        return endpoint.slug in settings.CHAT_ENDPOINTS

    @admin.display(description=_("address"), empty_value="-")
    def address(self, endpoint: Endpoint) -> str | None:
        """Without the name and password before the host."""
        config = settings.CHAT_ENDPOINTS.get(endpoint.slug)
        if config is None or config.kind == "demo":
            return None
        return sub(r"//[^/]*@", "//", config.base_url) if config.base_url else gettext("provider default")

    @admin.display(description=_("sync error"), ordering="sync_error", empty_value="-")
    def problem(self, endpoint: Endpoint) -> str | None:
        if endpoint.sync_error or not endpoint.sync_detail:
            return translated(endpoint.sync_error) or None
        return gettext("Some listed models cannot be used. Open the provider for details.")

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
        results = async_to_sync(sync_catalog)(set(endpoints.values_list("slug", flat=True)))
        for result in results:
            if result.error:
                self.message_user(request, f"{result.slug}: {translated(result.error)}", messages.ERROR)
            else:
                words = gettext("{name}: {count} models, {new} of them new.")
                words = words.format(name=result.slug, count=result.listed, new=result.added)
                self.message_user(request, words)
                if result.remark:
                    self.message_user(request, result.remark, messages.WARNING)
        if not results:
            self.message_user(
                request, gettext("None of these providers is configured and available."), messages.WARNING
            )


@admin.register(ChatModel)
class ChatModelAdmin(SteadyAdmin):
    list_display = ["name_and_endpoint", "enabled", "for_everyone", "input_price", "output_price"]
    list_editable = ["enabled", "for_everyone", "input_price", "output_price"]
    list_filter = ["endpoint", "enabled", "available", "for_everyone"]
    list_select_related = ["endpoint"]
    search_fields = ["name", "display_name"]
    readonly_fields = ["available", "listed_at"]
    actions = ["enable", "disable"]

    @admin.display(description=_("model"), ordering="name")
    def name_and_endpoint(self, model: ChatModel) -> str:
        """One column: the editable fields already make the list wide."""
        gone = "" if model.available else gettext("not listed any more")
        about = " · ".join(filter(None, [str(model.endpoint), gone]))
        return format_html('{} <small class="about">{}</small>', model.name, about)

    @admin.action(description=_("Enable"), permissions=["change"])
    def enable(self, request: HttpRequest, models: QuerySet[ChatModel]) -> None:
        count = models.update(enabled=True)
        words = ngettext("{count} model can be used.", "{count} models can be used.", count)
        self.message_user(request, words.format(count=count))

    @admin.action(description=_("Disable"), permissions=["change"])
    def disable(self, request: HttpRequest, models: QuerySet[ChatModel]) -> None:
        count = models.update(enabled=False)
        words = ngettext(
            "{count} model cannot be used any more.", "{count} models cannot be used any more.", count
        )
        self.message_user(request, words.format(count=count))
