"""Creates, renames, revokes and uses personal API tokens."""

from __future__ import annotations

import hmac
import secrets
import string
from collections.abc import Collection
from datetime import datetime, timedelta
from hashlib import sha256

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from chat.access import NotFoundError
from chat.actions.errors import ConflictError, InvalidInputError, LimitReachedError
from chat.actor import Actor, LoggedOutError
from chat.models import ApiToken, Scope, TranscriptRead, User
from chat.models.api_token import NAME_LENGTH, PREFIX_LENGTH
from chat.models.audit import add_to_record
from chat.runtime import current
from chat.translatable import translatable as _

MARK = "sty_"  # by which people, and programs that search for leaked secrets, recognise a token
_ALPHABET = string.ascii_letters + string.digits
_RANDOM_CHARS = 43  # of 62 letters and digits: 256 bits
MOST = 50  # valid tokens of one user
USE_SECONDS = 60  # the last use is written at most this often


def make_token(
    user: User, *, name: str, scopes: Collection[str], expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """Returns the token and its secret, which is not stored and cannot be shown again. Raises
    `InvalidInputError`, `LimitReachedError`, and `ConflictError` while tokens are turned off."""
    if not settings.STEADY_API_TOKENS:
        raise ConflictError(_("API tokens are turned off on this server."))
    chosen = [scope.value for scope in Scope if scope in scopes]
    if not chosen or set(chosen) != set(scopes):
        raise InvalidInputError(_("Choose what the token may be used for."))
    if Scope.ADMIN in chosen and not user.is_superuser:
        raise InvalidInputError(_("Only administrators can create a token for the administration."))
    if expires_at is not None and expires_at <= timezone.now():
        raise InvalidInputError(_("The token would have expired already. Choose a later date."))
    secret = MARK + "".join(secrets.choice(_ALPHABET) for _character in range(_RANDOM_CHARS))
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).filter(pk=user.pk).values_list("pk").first()
        if ApiToken.objects.valid().filter(user=user).count() >= MOST:
            raise LimitReachedError(_("You have {limit} tokens. Revoke one that is not used."), limit=MOST)
        token = ApiToken.objects.create(
            user=user,
            name=_checked_name(name),
            prefix=secret[:PREFIX_LENGTH],
            digest=digest_of(secret),
            scopes=chosen,
            expires_at=expires_at,
        )
        # The entry names no reader: the user must not count as an administrator who acted.
        add_to_record(_entry(token, None, TranscriptRead.How.TOKEN))
    return token, secret


def rename_token(user: User, token_id: int, name: str) -> ApiToken:
    """Raises `NotFoundError`, `InvalidInputError`."""
    token = _token_of(user, token_id)
    token.name = _checked_name(name)
    token.save(update_fields=["name"])
    return token


def revoke_token(user: User, token_id: int) -> ApiToken:
    """Ends the token. Its open streams close within seconds. Raises `NotFoundError`."""
    token = _token_of(user, token_id)
    revoke_tokens(ApiToken.objects.filter(pk=token.pk), by=None)
    return token


def revoke_tokens(tokens: QuerySet[ApiToken], *, by: User | None) -> int:
    """Ends these tokens and adds an audit entry for each. `by` is the administrator, or None for the owner.
    Returns how many were not revoked before."""
    with transaction.atomic():
        rows = list(tokens.filter(revoked_at=None).select_related("user").order_by("pk"))
        ApiToken.objects.filter(pk__in=[row.pk for row in rows]).update(revoked_at=timezone.now())
        transaction.on_commit(lambda: current().calls.permits.clear())
        if rows:
            add_to_record(*(_entry(row, by, TranscriptRead.How.REVOKED) for row in rows))
    return len(rows)


def tokens_of(user: User) -> QuerySet[ApiToken]:
    """Returns the tokens that are not revoked, the newest first. Includes expired ones."""
    return ApiToken.objects.filter(user=user, revoked_at=None)


def use_token(secret: str) -> Actor:
    """Returns the actor with this secret, and records the use once a minute. Raises `LoggedOutError` for a
    secret that is unknown, revoked or expired, for a user who is not active, and while tokens are turned
    off."""
    if not settings.STEADY_API_TOKENS or not secret.startswith(MARK):
        raise LoggedOutError
    valid = ApiToken.objects.valid().filter(prefix=secret[:PREFIX_LENGTH], user__is_active=True)
    token = valid.select_related("user").first()
    if token is None or not hmac.compare_digest(token.digest, digest_of(secret)):
        raise LoggedOutError
    before = timezone.now() - timedelta(seconds=USE_SECONDS)
    if token.last_used_at is None or token.last_used_at < before:
        unused = Q(last_used_at=None) | Q(last_used_at__lt=before)
        ApiToken.objects.filter(unused, pk=token.pk).update(last_used_at=timezone.now())
    return Actor.by_token(token.user, token)


def digest_of(secret: str) -> str:
    """Returns the SHA-256 of the secret in hexadecimal."""
    return sha256(secret.encode()).hexdigest()


def _token_of(user: User, token_id: int) -> ApiToken:
    token = tokens_of(user).filter(pk=token_id).first()
    if token is None:
        raise NotFoundError(_("There is no such token."))
    return token


def _checked_name(name: str) -> str:
    name = " ".join(name.replace("\x00", "").split())
    if not name:
        raise InvalidInputError(_("Enter a name for the token."))
    if len(name) > NAME_LENGTH:
        raise InvalidInputError(_("The name may have at most {limit} characters."), limit=NAME_LENGTH)
    return name


def _entry(token: ApiToken, by: User | None, how: TranscriptRead.How) -> TranscriptRead:
    facts = f"{token.prefix}… {token.name} ({', '.join(token.scopes)})"
    before, after = ("", facts) if how == TranscriptRead.How.TOKEN else (facts, "")
    return TranscriptRead.of_person(token.user, by, how, [("token", before, after)])
