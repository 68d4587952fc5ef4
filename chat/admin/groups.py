"""Groups of users. Only a superuser changes them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from chat.admin.authority import acting_user, is_superuser
from chat.admin.base import SteadyAdmin
from chat.models import TranscriptRead
from chat.models.audit import add_to_record

admin.site.unregister(Group)


@admin.register(Group)
class SteadyGroupAdmin(SteadyAdmin, GroupAdmin):
    """A group's permissions are rights of its members, so only superusers create and change groups."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return is_superuser(request)

    def save_model(self, request: HttpRequest, obj: Group, form: Any, change: bool) -> None:
        form.before = _facts_of_group(Group.objects.get(pk=obj.pk)) if change else {}
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        _record_group(request, form.before, _facts_of_group(form.instance))

    def delete_model(self, request: HttpRequest, obj: Group) -> None:
        self.delete_queryset(request, Group.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Group]) -> None:
        with transaction.atomic():
            gone = [_facts_of_group(group) for group in queryset]
            queryset.delete()
            for facts in gone:
                _record_group(request, facts, {})


def _facts_of_group(group: Group) -> dict[str, str]:
    granted = group.permissions.order_by("content_type__app_label", "codename")
    names = granted.values_list("content_type__app_label", "codename")
    members = group.user_set.order_by("email").values_list("email", flat=True)
    return {
        "group": group.name,
        "permissions": ", ".join(f"{app}.{codename}" for app, codename in names),
        "members": ", ".join(members),
    }


def _record_group(request: HttpRequest, before: dict[str, str], after: dict[str, str]) -> None:
    """Adds an entry with the group's name, changed or not; its members are named when it is deleted."""
    names = [name for name in ("group", "permissions", "members") if name != "members" or not after]
    changes = [(name, before.get(name, ""), after.get(name, "")) for name in names]
    if before != after:
        add_to_record(TranscriptRead.by(acting_user(request), TranscriptRead.How.GROUP, changes))
