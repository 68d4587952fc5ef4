"""The models that users may use, and their prices."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from chat.admin.base import SteadyAdmin
from chat.models import ChatModel


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
