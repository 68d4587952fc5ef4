"""Users: identified by their address, invited with a link. Only a superuser grants rights."""

from __future__ import annotations

from typing import Any

from allauth.account.models import EmailAddress
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Permission
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from chat.accounts import notify
from chat.actions.attachment import clear_unused
from chat.actions.login_link import make_login_link
from chat.admin import guard
from chat.admin.authority import acting_user, has_rights, is_out_of_reach, is_superuser, mail_source
from chat.admin.base import SteadyAdmin
from chat.models import Conversation, Message, TranscriptRead, User
from chat.models.audit import add_to_record

_RIGHTS = ("administrator", "reviewer", "groups")
_REVIEW = Q(content_type__app_label="chat", codename="view_conversation")


class _UserForm(forms.ModelForm):
    administrator = forms.BooleanField(
        label=_("Administrator"),
        required=False,
        help_text=_("Can manage everything, including other administrators."),
    )
    reviewer = forms.BooleanField(
        label=_("Can review chats"),
        required=False,
        help_text=_("Can read everyone's chats. Each access is recorded."),
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
        return [("administrator", _("Administrator")), ("reviewer", _("Can review chats"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        match self.value():
            case "administrator":
                return queryset.filter(is_superuser=True)
            case "reviewer":
                return queryset.filter(Q(_reviewer=True))
        return queryset


@admin.register(User)
class UserAdmin(SteadyAdmin):
    form = _UserForm
    list_display = [
        *("email", "full_name", "is_active", "administrator", "reviewer", "last_login"),
    ]
    list_filter = ["is_active", _RoleFilter, "groups"]
    ordering = ["email"]
    search_fields = ["email", "first_name", "last_name"]
    fieldsets = [
        (None, {"fields": ["email", "first_name", "last_name", "is_active"]}),
        (_("Rights"), {"fields": [*_RIGHTS]}),
        (_("Dates"), {"fields": ["last_login", "date_joined"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["email", "first_name", "last_name"]}),
        (_("Rights"), {"fields": [*_RIGHTS]}),
    ]
    readonly_fields = ["last_login", "date_joined"]

    @admin.display(description=_("name"), ordering="first_name", empty_value="-")
    def full_name(self, person: User) -> str:
        return person.get_full_name()

    @admin.display(boolean=True, description=_("Administrator"), ordering="is_superuser")
    def administrator(self, person: User) -> bool:
        return person.is_superuser

    @admin.display(boolean=True, description=_("Can review chats"), ordering="_reviewer")
    def reviewer(self, person: User) -> bool:
        return bool(getattr(person, "_reviewer", False))  # added by `get_queryset`

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
        return self.add_fieldsets if is_superuser(request) else self.add_fieldsets[:1]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        readonly = list(super().get_readonly_fields(request, obj))
        return readonly if is_superuser(request) else [*readonly, *_RIGHTS]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """A manager must not gain rights through another user's log-in link or address."""
        return super().has_change_permission(request, obj) and not is_out_of_reach(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not is_out_of_reach(request, obj)

    # --- Saving ------------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if not change:
            obj.set_unusable_password()
        form.before = _facts(User.objects.get(pk=obj.pk)) if change else {}
        if is_superuser(request):
            obj.is_superuser = form.cleaned_data["administrator"]
        super().save_model(request, obj, form, change)
        # The former address must not log in any more.
        EmailAddress.objects.filter(user=obj).exclude(email=obj.email).delete()
        EmailAddress.objects.update_or_create(
            user=obj, email=obj.email, defaults={"primary": True, "verified": True}
        )

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        person: User = form.instance
        if is_superuser(request):
            self._save_rights(person, form)
        add_to_record(*_entries(person, acting_user(request), form.before))
        before = form.before.get("email", person.email)
        if before != person.email:
            changed = {"from_email": before, "to_email": person.email}
            notify("account/email/email_changed", person, before, **changed, **mail_source())

    def _save_rights(self, person: User, form: Any) -> None:
        review = Permission.objects.get(_REVIEW)
        give = (
            person.user_permissions.add if form.cleaned_data["reviewer"] else person.user_permissions.remove
        )
        give(review)
        # Django's flag for access to the administration: users with any right there.
        person.is_staff = False
        person.is_staff = has_rights(person)
        person.save(update_fields=["is_staff"])

    # --- Deleting ----------------------------------------------------------------------------------------

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        self.delete_queryset(request, User.objects.filter(pk=obj.pk))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        with transaction.atomic():
            how = TranscriptRead.How.DELETED
            entries = [TranscriptRead.of_person(each, acting_user(request), how) for each in queryset]
            guard.record(*entries)
            queryset.delete()
            transaction.on_commit(clear_unused)

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[str]]:
        """Counts the objects that are deleted with a user, where Django would list each message with its
        text. Users who acted as administrators stay, because the audit record names them."""
        people: list[User] = list(objs)
        acted = set(TranscriptRead.objects.filter(reader__in=people).values_list("reader", flat=True))
        conversations = Conversation.objects.filter(owner__in=people).count()
        needed = set()
        if not all(self.has_delete_permission(request, person) for person in people):
            needed.add(str(self.opts.verbose_name))
        if conversations and not request.user.has_perm("chat.delete_conversation"):
            needed.add(str(Conversation._meta.verbose_name))
        if acted:
            words = gettext(
                "The audit record names people who acted as administrators, so they cannot be deleted. "
            )
            messages.error(request, words + gettext("Deactivate them instead."))
        counts = {
            str(self.opts.verbose_name_plural): len(people),
            str(Conversation._meta.verbose_name_plural): conversations,
            gettext("messages"): Message.objects.filter(conversation__owner__in=people).count(),
        }
        kept = [str(person) for person in people if person.pk in acted]
        return [str(person) for person in people], counts, needed, kept

    # --- Log-in links ------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.login_link_view)
        return [path("<int:person_id>/login-link/", view, name="chat_user_login_link"), *super().get_urls()]

    def login_link_view(self, request: HttpRequest, person_id: int) -> HttpResponse:
        """Offers to create a link; a POST creates it."""
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
            token = make_login_link(person, by=acting_user(request))
            link = request.build_absolute_uri(reverse("login_link", args=[person.pk, token]))
            self.log_change(request, person, gettext("Created a log-in link."))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("Log-in link"),
            "person": person,
            "link": link,
        }
        return TemplateResponse(request, "admin/chat/user/login_link.html", context)


def _facts(person: User) -> dict[str, Any]:
    """Returns the values for audit entries about a user's changes, by the names of `details` in
    `chat.admin.audit`."""
    return {
        "email": person.email,
        "name": person.get_full_name(),
        "active": person.is_active,
        "administrator": person.is_superuser,
        "reviewer": person.user_permissions.filter(_REVIEW).exists(),
        "groups": ", ".join(person.groups.order_by("name").values_list("name", flat=True)),
    }


_HOW = {"active": TranscriptRead.How.ACTIVE} | dict.fromkeys(
    ("administrator", "reviewer", "groups"), TranscriptRead.How.RIGHTS
)


def _entries(person: User, by: User, before: dict[str, Any]) -> list[TranscriptRead]:
    """Returns one entry for each kind of change; for a new user the first values."""
    if not before:
        new = [("email", "", person.email)]
        entries = {TranscriptRead.How.ADDED: new}
        before = {"email": person.email, "name": "", "active": True, "groups": ""}
    else:
        entries = {}
    for name, value in _facts(person).items():
        if value != before.get(name, False):
            how = _HOW.get(name, TranscriptRead.How.CHANGED)
            entries.setdefault(how, []).append((name, before.get(name, False), value))
    return [TranscriptRead.of_person(person, by, how, changes) for how, changes in entries.items()]
