"""Second factors of users. Other pages of allauth's administration are removed."""

from __future__ import annotations

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest

from chat.accounts import notify
from chat.admin.authority import acting_user, is_out_of_reach, mail_source
from chat.admin.base import SteadyAdmin
from chat.models import TranscriptRead
from chat.models.audit import add_to_record

# A manager who adds an address to a superuser could have a new password sent there. Addresses change with the
# user.
admin.site.unregister(EmailAddress)
admin.site.unregister(Authenticator)
# It shows the keys of sessions, which allow acting as their users.
admin.site.unregister(UserSession)


@admin.register(Authenticator)
class AuthenticatorAdmin(SteadyAdmin):
    """Removes a lost second factor. The secret in its data is never shown."""

    list_display = ["user", "type", "created_at", "last_used_at"]
    list_filter = ["type", "created_at", "last_used_at"]
    list_select_related = ["user"]
    search_fields = ["user__email"]
    fields = ["user", "type", "created_at", "last_used_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Authenticator | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Authenticator | None = None) -> bool:
        out_of_reach = obj is not None and is_out_of_reach(request, obj.user)
        return super().has_delete_permission(request, obj) and not out_of_reach

    def delete_model(self, request: HttpRequest, obj: Authenticator) -> None:
        self.delete_queryset(request, Authenticator.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Authenticator]) -> None:
        with transaction.atomic():
            how = TranscriptRead.How.FACTOR
            entries = [
                TranscriptRead.of_person(
                    each.user, acting_user(request), how, [("factor", str(each.type), "")]
                )
                for each in queryset.select_related("user")
            ]
            apps = queryset.filter(type=Authenticator.Type.TOTP).select_related("user")
            for person in [each.user for each in apps]:
                notify("mfa/email/totp_deactivated", person, person.email, **mail_source())
            queryset.delete()
            add_to_record(*entries)
