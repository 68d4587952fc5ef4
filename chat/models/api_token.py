"""A personal API token: the key by which a program acts for a user."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from chat.models.user import User

NAME_LENGTH = 100
PREFIX_LENGTH = 12


class Scope(models.TextChoices):
    """What a token may be used for. `CHAT` includes `READ`."""

    READ = "read", _("Read your chats")
    CHAT = "chat", _("Read your chats, send prompts and change chats")
    GATEWAY = "gateway", _("Use models in other programs, through the gateway")
    ADMIN = "admin", _("Administration: people, models and everyone's chats")


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def valid(self) -> ApiTokenQuerySet:
        """Returns the tokens that are neither revoked nor expired."""
        in_time = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        return self.filter(in_time, revoked_at=None)


class ApiToken(models.Model):
    """The secret itself is not stored. `digest` is its SHA-256 in hexadecimal: the secret has 256 random
    bits, so a slow hash would add nothing. `prefix` is the start of the secret, by which the row is found and
    people recognise a token. A revoked token keeps its row."""

    user = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="api_tokens", verbose_name=_("person")
    )
    name = models.CharField(_("name"), max_length=NAME_LENGTH)
    prefix = models.CharField(_("starts with"), max_length=PREFIX_LENGTH, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(_("scopes"), default=list)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")

    def __str__(self) -> str:
        return self.name

    @property
    def scope_labels(self) -> list[str]:
        return labels_of(self.scopes)

    @property
    def has_expired(self) -> bool:
        return is_past(self.expires_at)


def labels_of(scopes: Collection[str]) -> list[str]:
    """Returns the sentences for people, in the order of `Scope`. Scopes of a later release are left out."""
    return [str(scope.label) for scope in Scope if scope in scopes]


def is_past(moment: datetime | None) -> bool:
    return moment is not None and moment <= timezone.now()
