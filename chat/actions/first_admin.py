"""Creates the first administrator, from the settings or with the link that the server printed.

The link belongs to an account without a password. Its token depends on the state of that account, so setting
the password ends every printed link. If two people use a link at the same time, one succeeds.
"""

from __future__ import annotations

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import transaction
from django.db.models import QuerySet

from chat.models import TranscriptRead, User
from chat.models.audit import add_to_record
from chat.translatable import translatable as _

# Never a real address: RFC 2606 reserves `.invalid`.
UNCLAIMED_ADDRESS = "administrator@steady.invalid"


class FirstAdminError(Exception):
    """The link is used, expired or invalid."""


class _Token(PasswordResetTokenGenerator):
    key_salt = "chat.actions.first_admin"


_token = _Token()


def ensure_first_admin() -> str | None:
    """Creates an administrator if there is none. Returns the token of a new log-in link while nobody has
    become administrator yet, else None. Raises `ImproperlyConfigured` if STEADY_ADMIN_PASSWORD is too
    weak."""
    with transaction.atomic():
        if _admin_exists():
            _unclaimed().delete()
            return None
        if settings.STEADY_ADMIN_EMAIL and settings.STEADY_ADMIN_PASSWORD:
            _create_from_settings()
            return None
        user = _unclaimed().first() or User.objects.create_superuser(UNCLAIMED_ADDRESS)
        return _token.make_token(user)


def has_no_users() -> bool:
    """Returns whether this installation has no user yet, so that the printed link is the only way to log
    in."""
    return not User.objects.exclude(email=UNCLAIMED_ADDRESS).exists()


def user_of_link(token: str) -> User | None:
    """Returns the account of `token`, or None if the token is invalid or expired."""
    user = _unclaimed().first()
    return user if user is not None and not _admin_exists() and _token.check_token(user, token) else None


def claim(token: str, email: str, password: str) -> User:
    """Makes the holder of `token` the first administrator. Raises `FirstAdminError` if the token is not
    valid, `ValidationError` if the address belongs to another user."""
    with transaction.atomic():
        _unclaimed().select_for_update().first()
        user = user_of_link(token)
        if user is None:
            raise FirstAdminError
        email = email.strip().lower()
        if User.objects.exclude(pk=user.pk).filter(email=email).exists():
            raise ValidationError(_("Someone with this address is already here. Use another one."))
        user.email = email
        user.set_password(password)
        user.save()
        EmailAddress.objects.create(user=user, email=email, primary=True, verified=True)
        _record(user)
    return user


def _admin_exists() -> bool:
    """Returns whether a superuser can log in or has logged in, with a password or by single sign-on."""
    superusers = User.objects.filter(is_superuser=True, is_active=True)
    unclaimed = superusers.filter(password__startswith=UNUSABLE_PASSWORD_PREFIX, last_login=None)
    return superusers.exclude(pk__in=unclaimed).exists()


def _unclaimed() -> QuerySet[User]:
    return User.objects.filter(
        email=UNCLAIMED_ADDRESS, is_superuser=True, password__startswith=UNUSABLE_PASSWORD_PREFIX
    )


def _create_from_settings() -> None:
    email, password = settings.STEADY_ADMIN_EMAIL.lower(), settings.STEADY_ADMIN_PASSWORD
    try:
        validate_password(password, User(email=email))
    except ValidationError as error:
        reasons = " ".join(error.messages)
        raise ImproperlyConfigured(f"STEADY_ADMIN_PASSWORD is too weak. {reasons}") from error
    _unclaimed().delete()
    user = User.objects.filter(email=email).first()
    if user is None:
        user = User.objects.create_superuser(email, password)
    else:
        _promote(user, password)
    EmailAddress.objects.create(user=user, email=email, primary=True, verified=True)
    _record(user)


def _record(user: User) -> None:
    """Adds an audit entry without an actor: the link or the settings created this administrator."""
    rights = [("administrator", False, True)]
    add_to_record(TranscriptRead.of_person(user, None, TranscriptRead.How.RIGHTS, rights))


def _promote(user: User, password: str) -> None:
    """Gives the user administrator rights. Where sign-up is open, a stranger may have used the address first.
    So every other credential is removed, and the new password ends the existing sessions."""
    user.is_staff = user.is_superuser = user.is_active = True
    user.set_password(password)
    user.save(update_fields=["is_staff", "is_superuser", "is_active", "password"])
    EmailAddress.objects.filter(user=user).delete()
    Authenticator.objects.filter(user=user).delete()
