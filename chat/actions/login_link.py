"""A link that lets one person log in once: for a new user, or for a forgotten password where no mail is sent.

An administrator hands it over. Its token depends on the user's password, last log-in and rights. So it ends
when it is used, with any other log-in, when the rights change, and after 24 hours. It sets a password. A
second factor is still required.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.db import transaction
from django.db.models import Q

from chat.models import TranscriptRead, User
from chat.models.audit import add_to_record


class LoginLinkError(Exception):
    """The link is used, expired or invalid, or the user may not log in any more."""


class _Token(PasswordResetTokenGenerator):
    key_salt = "chat.actions.login_link"

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        """Includes the rights. Otherwise the creator of a link for a plain user could log in later as a
        reviewer."""
        own = Permission.objects.filter(Q(user=user) | Q(group__user=user))
        rights = sorted(set(own.values_list("pk", flat=True)))
        base = super()._make_hash_value(user, timestamp)
        return f"{base}{user.is_staff}{user.is_superuser}{rights}"


_token = _Token()


def make_login_link(person: User, *, by: User) -> str:
    """Returns the token of a new link and adds an audit entry. Older links of the same user stay valid until
    one of them is used."""
    add_to_record(TranscriptRead.of_person(person, by, TranscriptRead.How.LINK))
    return login_token(person)


def login_token(person: User) -> str:
    """Returns the token only."""
    return _token.make_token(person)


def person_of_link(person_id: int, token: str) -> User | None:
    """Returns the user of this link, or None if the link is invalid or expired."""
    person = User.objects.filter(pk=person_id, is_active=True).first()
    return person if person is not None and _token.check_token(person, token) else None


def use_link(person_id: int, token: str, password: str) -> User:
    """Sets a new password, which ends the link and the user's other sessions. Raises `LoginLinkError` if the
    link is invalid or expired."""
    with transaction.atomic():
        # Of two uses at the same time, one succeeds.
        User.objects.select_for_update().filter(pk=person_id).first()
        person = person_of_link(person_id, token)
        if person is None:
            raise LoginLinkError
        person.set_password(password)
        person.save(update_fields=["password"])
        # The entry names no reader: the holder of the link is unknown, and the user must not count as an
        # administrator who acted.
        add_to_record(TranscriptRead.of_person(person, None, TranscriptRead.How.LINK_USED))
    return person
