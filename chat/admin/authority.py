"""Who may change whom in the administration."""

from __future__ import annotations

from django.contrib.auth.models import Permission
from django.db.models import Q
from django.http import HttpRequest
from django.utils.translation import gettext

from chat.models import User


def mail_source() -> dict[str, str]:
    """Returns the source of a change for a mail, without the location of the administrator."""
    return {"ip": "-", "user_agent": gettext("Administration")}


def acting_user(request: HttpRequest) -> User:
    """Returns the logged-in user, whom the audit record names."""
    assert isinstance(request.user, User)
    return request.user


def is_out_of_reach(request: HttpRequest, person: User | None) -> bool:
    """Returns whether only a superuser may change this user: one with rights, because acting as that user
    would grant them."""
    return person is not None and not is_superuser(request) and has_rights(person)


def has_rights(person: User) -> bool:
    """Returns whether the user has any right in the administration."""
    theirs = Permission.objects.filter(Q(user=person) | Q(group__user=person))
    return person.is_superuser or person.is_staff or theirs.exists()


def is_superuser(request: HttpRequest) -> bool:
    """Returns whether the acting user may grant rights."""
    return isinstance(request.user, User) and request.user.is_superuser
