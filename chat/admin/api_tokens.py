"""Everyone's API tokens: listed and revoked here, made by their users alone. No secret is shown."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from chat.actions.api_token import revoke_tokens
from chat.admin.authority import acting_user
from chat.admin.base import SteadyAdmin
from chat.models import ApiToken


@admin.register(ApiToken)
class ApiTokenAdmin(SteadyAdmin):
    list_display = [
        *("name", "user", "prefix", "uses", "created_at", "last_used_at", "expires_at", "revoked_at"),
    ]
    list_display_links = None
    list_filter = ["created_at", "last_used_at", "revoked_at"]
    list_select_related = ["user"]
    search_fields = ["name", "prefix", "user__email"]
    actions = ["revoke"]

    @admin.display(description=_("scopes"))
    def uses(self, token: ApiToken) -> str:
        return ", ".join(token.scopes)

    @admin.action(description=_("Revoke the selected tokens"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        revoked = revoke_tokens(queryset, by=acting_user(request))
        words = ngettext("%(count)d token was revoked.", "%(count)d tokens were revoked.", revoked)
        messages.success(request, words % {"count": revoked})

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        """A token that was revoked keeps its row, for the record."""
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return super().has_delete_permission(request)
