"""People: known by their address, let in by a link. Only a superuser hands out power."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.actions.login_link import login_token
from chat.admin.base import SteadyAdmin
from chat.models import User

_POWERS = ("administrator", "reviewer", "groups")
_REVIEW = Q(content_type__app_label="chat", codename="view_conversation")


class _PersonForm(forms.ModelForm):
    administrator = forms.BooleanField(
        label=_("Administrator"), required=False, help_text=_("May do everything here, and make others so.")
    )
    reviewer = forms.BooleanField(
        label=_("May review transcripts"),
        required=False,
        help_text=_("May read what everybody writes. Each reading is recorded."),
    )

    class Meta:
        model = User
        fields = ("email", "first_name", "last_name", "is_active", "groups")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["administrator"] = self.instance.is_superuser
            self.initial["reviewer"] = self.instance.user_permissions.filter(_REVIEW).exists()

    def clean_email(self) -> str:
        return str(self.cleaned_data["email"]).lower()


class _RoleFilter(admin.SimpleListFilter):
    title = _("rights")
    parameter_name = "rights"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("administrator", _("Administrator")), ("reviewer", _("May review transcripts"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        match self.value():
            case "administrator":
                return queryset.filter(is_superuser=True)
            case "reviewer":
                return queryset.filter(Q(_reviewer=True))
        return queryset


@admin.register(User)
class PersonAdmin(SteadyAdmin):
    form = _PersonForm
    list_display = [
        *("email", "full_name", "is_active", "administrator", "reviewer", "last_login"),
    ]
    list_filter = ["is_active", _RoleFilter, "groups"]
    ordering = ["email"]
    search_fields = ["email", "first_name", "last_name"]
    fieldsets = [
        (None, {"fields": ["email", "first_name", "last_name", "is_active"]}),
        (_("Rights"), {"fields": [*_POWERS]}),
        (_("Dates"), {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["email", "first_name", "last_name"]}),
        (_("Rights"), {"fields": [*_POWERS]}),
    ]
    readonly_fields = ["last_login", "date_joined"]

    @admin.display(description=_("name"), ordering="first_name", empty_value="-")
    def full_name(self, person: User) -> str:
        return person.get_full_name()

    @admin.display(boolean=True, description=_("Administrator"), ordering="is_superuser")
    def administrator(self, person: User) -> bool:
        return person.is_superuser

    @admin.display(boolean=True, description=_("May review transcripts"), ordering="_reviewer")
    def reviewer(self, person: User) -> bool:
        return bool(getattr(person, "_reviewer", False))  # what `get_queryset` adds

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        people: QuerySet[User] = super().get_queryset(request)
        theirs = Q(user=OuterRef("pk")) | Q(group__user=OuterRef("pk"))
        return people.annotate(
            _reviewer=Q(is_superuser=True)
            | Q(Exists(Permission.objects.filter(_REVIEW, theirs)), is_staff=True)
        )

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is not None:
            return self.fieldsets
        return self.add_fieldsets if _rules(request) else self.add_fieldsets[:1]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        readonly = list(super().get_readonly_fields(request, obj))
        return readonly if _rules(request) else [*readonly, *_POWERS]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Nobody gains rights by somebody else's log-in link or address."""
        return super().has_change_permission(request, obj) and not _out_of_reach(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not _out_of_reach(request, obj)

    # --- Saving ------------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if not change:
            obj.set_unusable_password()
        if _rules(request):
            obj.is_superuser = form.cleaned_data["administrator"]
        super().save_model(request, obj, form, change)
        # An address that was changed here must not go on logging in.
        EmailAddress.objects.filter(user=obj).exclude(email=obj.email).delete()
        EmailAddress.objects.update_or_create(
            user=obj, email=obj.email, defaults={"primary": True, "verified": True}
        )

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if not _rules(request):
            return
        person: User = form.instance
        review = Permission.objects.get(_REVIEW)
        give = (
            person.user_permissions.add if form.cleaned_data["reviewer"] else person.user_permissions.remove
        )
        give(review)
        # Django's word for who may open the administration at all: whoever has something to do there.
        person.is_staff = False
        person.is_staff = _has_rights(person)
        person.save(update_fields=["is_staff"])

    # --- Log-in links ------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.login_link_view)
        return [path("<int:person_id>/login-link/", view, name="chat_user_login_link"), *super().get_urls()]

    def login_link_view(self, request: HttpRequest, person_id: int) -> HttpResponse:
        """Offers to make a link; a POST makes it."""
        person = self.get_object(request, str(person_id))
        if not self.has_change_permission(request, person):
            raise PermissionDenied
        if person is None:
            raise Http404
        return self._login_link_page(request, person, made=request.method == "POST" and person.is_active)

    def response_add(
        self, request: HttpRequest, obj: User, post_url_continue: str | None = None
    ) -> HttpResponse:
        if "_addanother" in request.POST or not self.has_change_permission(request, obj):
            return super().response_add(request, obj, post_url_continue)
        return self._login_link_page(request, obj, made=True)

    def _login_link_page(self, request: HttpRequest, person: User, *, made: bool) -> TemplateResponse:
        link = ""
        if made:
            link = request.build_absolute_uri(reverse("login_link", args=[person.pk, login_token(person)]))
            self.log_change(request, person, gettext("Made a log-in link."))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("Log-in link"),
            "person": person,
            "link": link,
        }
        return TemplateResponse(request, "admin/chat/user/login_link.html", context)


admin.site.unregister(Group)


@admin.register(Group)
class SteadyGroupAdmin(SteadyAdmin, GroupAdmin):
    """A group's permissions are rights of its members: superusers alone make and change them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _rules(request)

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return _rules(request)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return _rules(request)


# Who gives a superuser an address could have a new password sent there. Addresses change with the person.
admin.site.unregister(EmailAddress)
admin.site.unregister(Authenticator)


@admin.register(Authenticator)
class AuthenticatorAdmin(SteadyAdmin):
    """To take a lost second factor away. The secret in its data is shown to nobody."""

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
        out_of_reach = obj is not None and _out_of_reach(request, obj.user)
        return super().has_delete_permission(request, obj) and not out_of_reach


def _out_of_reach(request: HttpRequest, person: User | None) -> bool:
    """Whoever has any rights is changed by superusers alone: as that person one could use them."""
    return person is not None and not _rules(request) and _has_rights(person)


def _has_rights(person: User) -> bool:
    theirs = Permission.objects.filter(Q(user=person) | Q(group__user=person))
    return person.is_superuser or person.is_staff or theirs.exists()


def _rules(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and request.user.is_superuser
