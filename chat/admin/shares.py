"""Everyone's share links: listed and revoked here, made by their users alone. Neither the address of a link
nor its title is shown: what it shows is read as a transcript, with an entry in the audit record."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, F, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from chat.actions.share import revoke_shares
from chat.admin.authority import acting_user
from chat.admin.base import SteadyAdmin
from chat.models import Share


@admin.register(Share)
class ShareAdmin(SteadyAdmin):
    list_display = [
        *("owner", "chat", "audience", "count", "shows_files", "shows_steps", "created_at", "expires_at"),
    ]
    list_display_links = None
    list_filter = ["audience", "created_at", "expires_at"]
    search_fields = ["conversation__owner__email"]
    fields = ["audience", "shows_files", "shows_steps", "created_at", "expires_at"]
    actions = ["revoke"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Share]:
        shown: QuerySet[Share] = super().get_queryset(request).defer("secret", "title")
        # A count by a join would group by all columns, also those with texts.
        rows = Share.messages.through.objects.filter(share=OuterRef("pk")).order_by().values("share")
        count: Any = rows.annotate(number=Count("pk"))
        number = Subquery(count.values("number"))
        return shown.annotate(email=F("conversation__owner__email"), messages_shown=number)

    @admin.display(description=_("person"), ordering="email")
    def owner(self, share: Any) -> str:
        return str(share.email)

    @admin.display(description=_("chat"))
    def chat(self, share: Share) -> str:
        return str(share.conversation_id)

    @admin.display(description=_("messages"))
    def count(self, share: Any) -> int:
        return int(share.messages_shown or 0)

    @admin.action(description=_("Revoke the selected links"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Share]) -> None:
        revoked = revoke_shares(Share.objects.filter(pk__in=queryset.values("pk")), by=acting_user(request))
        words = ngettext("%(count)d link was revoked.", "%(count)d links were revoked.", revoked)
        messages.success(request, words % {"count": revoked})

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Share | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Share | None = None) -> bool:
        """Revoking leaves an entry in the audit record."""
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return super().has_delete_permission(request)
