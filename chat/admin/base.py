"""Limits of all lists: they accept the filters that they declare, and short searches. Django itself allows
any lookup of a model's own fields: `?title__regex=` would run a foreign expression in the database or in this
process, and read texts without an audit entry."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext

SEARCH_CHARS, SEARCH_WORDS = 200, 8
# The lookups of Django's field filters, see `expected_parameters` in django/contrib/admin/filters.py.
_OF_A_FILTER = ("exact", "isnull", "isempty", "gte", "lt")
_OF_DATES = ("year", "month", "day", "gte", "lt")


class _LabelledForm(forms.ModelForm):
    """The fields of one row of a list, each with a label for screen readers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            if name != self._meta.model._meta.pk.name:
                field.widget.attrs["aria-label"] = f"{field.label}: {self.instance}"


class SteadyAdmin(admin.ModelAdmin):
    """The base of all lists and pages of the administration."""

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup in self._declared_lookups(request)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Groups are few: checkboxes, because Django's two lists are hard to use with a screen reader."""
        if db_field.name == "groups":
            kwargs["widget"] = forms.CheckboxSelectMultiple
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> Any:
        return super().get_changelist_form(request, **{"form": _LabelledForm, **kwargs})

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if is_too_long(search_term):
            messages.error(request, too_long_words())
            return queryset.none(), False
        return super().get_search_results(request, queryset, search_term)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Checks the permission first: Django reads the object before, which reveals whether it exists."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)

    def _declared_lookups(self, request: HttpRequest) -> set[str]:
        allowed = {f"{self.date_hierarchy}__{what}" for what in _OF_DATES if self.date_hierarchy}
        for declared in self.get_list_filter(request):
            if isinstance(declared, type) and issubclass(declared, admin.SimpleListFilter):
                allowed.add(str(declared.parameter_name))
                continue
            field: Any = declared[0] if isinstance(declared, list | tuple) else declared
            if target := getattr(self.opts.get_field(field), "target_field", None):
                allowed.add(f"{field}__{target.name}__exact")
            allowed |= {f"{field}__{what}" for what in _OF_A_FILTER}
        return allowed


def is_too_long(search_term: str) -> bool:
    """Returns whether the search has too many words: each is one more condition, or one more pass over the
    table."""
    return len(search_term) > SEARCH_CHARS or len(search_term.split()) > SEARCH_WORDS


def too_long_words() -> str:
    words = gettext("A search has at most {words} words and {chars} characters. Shorten it.")
    return words.format(words=SEARCH_WORDS, chars=SEARCH_CHARS)
