"""The settings of the server: one page, whose changes are in the audit record."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from chat.admin.authority import acting_user
from chat.admin.base import SteadyAdmin
from chat.models import ChatModel, ServerSettings, TranscriptRead
from chat.models.audit import add_to_record

_LENGTH = 500  # characters of a value in the audit record


class _ModelField(forms.ModelChoiceField):
    def label_from_instance(self, obj: ChatModel) -> str:
        return f"{obj.label} ({obj.endpoint})"


@admin.register(ServerSettings)
class ServerSettingsAdmin(SteadyAdmin):
    """The first visit creates the row. It can be neither added nor deleted by hand."""

    fieldsets = [
        (_("Titles and summaries"), {"fields": ["title_model", "summary_model"]}),
        (_("Sharing"), {"fields": ["sharers"]}),
        (_("Files"), {"fields": ["file_mb", "person_files_mb"]}),
        (_("Share links"), {"fields": ["share_links"]}),
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ServerSettings | None = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Redirects to the page of the only row. The list checks the permission first."""
        response = super().changelist_view(request, extra_context)
        if response.status_code != 200:
            return response
        return HttpResponseRedirect(reverse("admin:chat_serversettings_change", args=[1]))

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> ServerSettings | None:
        if object_id == "1":
            ServerSettings.objects.bulk_create([ServerSettings(pk=1)], ignore_conflicts=True)
        return super().get_object(request, object_id, from_field)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offers the models that can be used now, also those for some groups only, and the chosen one."""
        if db_field.related_model is ChatModel:
            chosen = ServerSettings.objects.values(db_field.name)
            offered = Q(pk__in=ChatModel.objects.usable().values("pk")) | Q(pk__in=chosen)
            kwargs["queryset"] = ChatModel.objects.filter(offered).select_related("endpoint")
            kwargs["form_class"] = _ModelField
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: ServerSettings, form: Any, change: bool) -> None:
        before = ServerSettings.objects.get(pk=obj.pk)
        super().save_model(request, obj, form, change)
        changes = [
            (name, _words(before, name), _words(obj, name))
            for name in form.changed_data
            if _words(before, name) != _words(obj, name)
        ]
        if changes:
            add_to_record(TranscriptRead.by(acting_user(request), TranscriptRead.How.SETTINGS, changes))


def _words(row: ServerSettings, name: str) -> str | bool:
    """Returns the value of the field as the audit record shows it."""
    value = getattr(row, name)
    if isinstance(value, bool):
        return value
    return "" if value is None else str(value)[:_LENGTH]
