"""The models that users may use, and their prices."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import EmptyFieldListFilter
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from chat.actions.catalog import enable_models
from chat.admin.base import SteadyAdmin
from chat.admin.catalog_edit import BulkForm
from chat.models import ChatModel


@admin.register(ChatModel)
class ChatModelAdmin(SteadyAdmin):
    list_display = ["name_and_endpoint", "enabled", "for_everyone", "input_price", "output_price"]
    list_editable = ["enabled", "for_everyone", "input_price", "output_price"]
    list_filter = [
        *("endpoint", "enabled", "available", "hidden", "for_everyone", "groups"),
        *("reasons", "takes_images", "takes_audio", "uses_tools", "gives_json"),
        *(("alias_of", EmptyFieldListFilter), ("fallback", EmptyFieldListFilter)),
    ]
    list_select_related = ["endpoint"]
    search_fields = ["name", "display_name", "description", "endpoint__name"]
    readonly_fields = ["available", "listed_at"]
    actions = ["edit_many", "enable", "disable", "hide", "show"]
    fieldsets = [
        (None, {"fields": ["endpoint", "name", "display_name", "description", "position"]}),
        (_("Who may use it"), {"fields": ["enabled", "hidden", "for_everyone", "groups"]}),
        (
            _("Prices"),
            {
                "fields": [
                    *("input_price", "cached_input_price", "cache_write_price", "output_price"),
                    "search_price",
                ]
            },
        ),
        (
            _("Capabilities"),
            {
                "fields": [
                    *("context_window", "max_output_tokens", "takes_images", "takes_audio", "uses_tools"),
                    *("searches_web", "reasons", "gives_json", "takes_temperature"),
                ]
            },
        ),
        (
            _("Requests"),
            {
                "fields": [
                    *("alias_of", "fallback", "system_prompt"),
                    *("temperature", "default_output_tokens", "reasoning_effort", "extra_body"),
                ]
            },
        ),
        (
            _("What people may choose"),
            {
                "description": _("In each chat, beside the model. The longest reply is the maximum above."),
                "fields": [
                    *("lowest_temperature", "highest_temperature"),
                    *("lowest_effort", "highest_effort"),
                ],
            },
        ),
        (_("State"), {"fields": ["available", "listed_at"]}),
    ]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "alias_of":
            kwargs["queryset"] = ChatModel.objects.filter(alias_of=None)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    @admin.display(description=_("model"), ordering="name")
    def name_and_endpoint(self, model: ChatModel) -> str:
        """One column: the editable fields already make the list wide."""
        gone = "" if model.available else gettext("not listed any more")
        about = " · ".join(filter(None, [str(model.endpoint), gone]))
        return format_html('{} <small class="about">{}</small>', model.name, about)

    @admin.action(description=_("Change settings of the selected models"), permissions=["change"])
    def edit_many(self, request: HttpRequest, models: QuerySet[ChatModel]) -> HttpResponse | None:
        """Asks for the settings, and writes those that are ticked."""
        form = BulkForm(request.POST if "apply" in request.POST else None)
        if form.is_bound and form.is_valid() and form.apply(models):
            count = models.count()
            self.log_change_of(request, models, form.ticked)
            words = ngettext("{count} model was changed.", "{count} models were changed.", count)
            self.message_user(request, words.format(count=count))
            return None
        chosen = list(models)
        # What a search found is named by the search in the address: a form has no room for all of it.
        is_across = request.POST.get("select_across") == "1"
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Change settings"),
            "opts": self.opts,
            "form": form,
            "chosen": chosen,
            "selected": chosen[:1] if is_across else chosen,
            "is_across": is_across,
        }
        return TemplateResponse(request, "admin/chat/chatmodel/edit_many.html", context)

    def log_change_of(self, request: HttpRequest, models: QuerySet[ChatModel], fields: list[str]) -> None:
        """Adds an entry to the history of each model."""
        for model in models:
            self.log_change(request, model, [{"changed": {"fields": fields}}])

    @admin.action(description=_("Hide from the list"), permissions=["change"])
    def hide(self, request: HttpRequest, models: QuerySet[ChatModel]) -> None:
        count = models.update(hidden=True)
        words = ngettext("{count} model is hidden.", "{count} models are hidden.", count)
        self.message_user(request, words.format(count=count))

    @admin.action(description=_("Show in the list"), permissions=["change"])
    def show(self, request: HttpRequest, models: QuerySet[ChatModel]) -> None:
        count = models.update(hidden=False)
        words = ngettext("{count} model is shown.", "{count} models are shown.", count)
        self.message_user(request, words.format(count=count))

    @admin.action(description=_("Enable"), permissions=["change"])
    def enable(self, request: HttpRequest, models: QuerySet[ChatModel]) -> None:
        count = enable_models(models, enabled=True)
        words = ngettext("{count} model can be used.", "{count} models can be used.", count)
        self.message_user(request, words.format(count=count))

    @admin.action(description=_("Disable"), permissions=["change"])
    def disable(self, request: HttpRequest, models: QuerySet[ChatModel]) -> None:
        count = enable_models(models, enabled=False)
        words = ngettext(
            "{count} model cannot be used any more.", "{count} models cannot be used any more.", count
        )
        self.message_user(request, words.format(count=count))
