"""A link that lets one person in, once: for somebody new, and for a forgotten password where no mail is sent.

An administrator passes it on. Its token is bound to the person's password and last log-in, so it ends with
its use, with any other log-in, and after 24 hours. It sets a password. A second factor is still needed.
"""

from __future__ import annotations

from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.db import transaction

from chat.models import User


class LoginLinkError(Exception):
    """The link was used, has expired, or never was one; or the person may not log in any more."""


class _Token(PasswordResetTokenGenerator):
    key_salt = "chat.actions.login_link"


_token = _Token()


def login_token(person: User) -> str:
    """The token of a new link. Older links of the same person go on working until one is used."""
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
    return person
