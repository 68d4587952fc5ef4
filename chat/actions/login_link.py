"""A link that lets one person in, once: for somebody new, and for a forgotten password where no mail is sent.

An administrator passes it on. Its token is bound to the person's password, last log-in and rights, so it
ends with its use, with any other log-in, when the person gets other rights, and after 24 hours. It sets a
password. A second factor is still needed.
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
    """The link was used, has expired, or never was one; or the person may not log in any more."""


class _Token(PasswordResetTokenGenerator):
    key_salt = "chat.actions.login_link"

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        """With the rights: who made it for somebody without any must not come in as a reviewer later."""
        own = Permission.objects.filter(Q(user=user) | Q(group__user=user))
        rights = sorted(set(own.values_list("pk", flat=True)))
        base = super()._make_hash_value(user, timestamp)
        return f"{base}{user.is_staff}{user.is_superuser}{rights}"


_token = _Token()


def make_login_link(person: User, *, by: User) -> str:
    """The token of a new link; the record says who made it. Older links of the same person go on working
    until one is used."""
    add_to_record(TranscriptRead.of_person(person, by, TranscriptRead.How.LINK))
    return login_token(person)


def login_token(person: User) -> str:
    """The token alone."""
    return _token.make_token(person)


def person_of_link(person_id: int, token: str) -> User | None:
    """Who is let in by this link, None when it opens nothing (any more)."""
    person = User.objects.filter(pk=person_id, is_active=True).first()
    return person if person is not None and _token.check_token(person, token) else None


def use_link(person_id: int, token: str, password: str) -> User:
    """Gives the person a new password, which ends the link and their sessions elsewhere. Raises
    `LoginLinkError` when it opens nothing."""
    with transaction.atomic():
        User.objects.select_for_update().filter(pk=person_id).first()  # Of two at once, one is let in.
        person = person_of_link(person_id, token)
        if person is None:
            raise LoginLinkError
        person.set_password(password)
        person.save(update_fields=["password"])
        # By whoever had the link: no reader, so that the person does not count as an administrator who acted.
        add_to_record(TranscriptRead.of_person(person, None, TranscriptRead.How.LINK_USED))
    return person
