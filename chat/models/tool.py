"""The tools that models may use, and the servers that offer some of them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from chat.models.user import User
from chatproject.crypto import UnreadableSecretError, decrypt, encrypt


class ToolServer(models.Model):
    """An MCP server over streamable HTTP. `secret_headers` are encrypted lines `Name: value`."""

    slug = models.SlugField(
        _("short name"),
        unique=True,
        max_length=20,
        help_text=_("Begins the names of its tools. Letters, digits and hyphens."),
        validators=[RegexValidator(r"^[a-z0-9-]+$", _("Use small letters, digits and hyphens."))],
    )
    url = models.URLField(_("address"), max_length=500)
    secret_headers = models.TextField(blank=True, editable=False)
    enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("Off: none of its tools can be used.")
    )
    synced_at = models.DateTimeField(_("last synced"), null=True, blank=True, editable=False)
    sync_error = models.CharField(_("sync error"), max_length=300, blank=True, editable=False)

    class Meta:
        ordering = ["slug"]
        verbose_name = _("tool server")
        verbose_name_plural = _("tool servers")

    def __str__(self) -> str:
        return self.slug

    @property
    def headers(self) -> dict[str, str]:
        """Returns the headers of its requests; none if they were encrypted with a key that is gone."""
        try:
            lines = decrypt(self.secret_headers).splitlines()
        except UnreadableSecretError:
            return {}
        pairs = (line.partition(":") for line in lines if ":" in line)
        return {name.strip(): value.strip() for name, _colon, value in pairs}

    @headers.setter
    def headers(self, values: dict[str, str]) -> None:
        lines = "\n".join(f"{name}: {value}" for name, value in values.items())
        self.secret_headers = encrypt(lines) if lines else ""


class ToolQuerySet(models.QuerySet["Tool"]):
    def usable(self) -> ToolQuerySet:
        """Returns the tools that an administrator enabled and that still exist."""
        servers = Q(server=None) | Q(server__enabled=True)
        return self.filter(servers, enabled=True, available=True).select_related("server")

    def usable_by(self, user: User) -> ToolQuerySet:
        """Returns the usable tools that are open to everyone or to one of the user's groups."""
        return self.usable().filter(Q(for_everyone=True) | Q(groups__in=user.groups.all())).distinct()


class Tool(models.Model):
    """A tool, built in or of a server. `name` is what models call. `fingerprint` changes with its schema: a
    person's approval for a chat holds for one fingerprint. `definition` is the last one that its server sent;
    built-in tools have theirs in the code."""

    name = models.CharField(_("name"), max_length=64, unique=True)
    server = models.ForeignKey(
        ToolServer,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.CASCADE,
        related_name="tools",
        verbose_name=_("tool server"),
    )
    title = models.CharField(_("title"), max_length=200, blank=True)
    description = models.TextField(_("description"), blank=True)
    definition = models.JSONField(default=dict, blank=True, editable=False)
    fingerprint = models.CharField(max_length=64, blank=True, editable=False)
    enabled = models.BooleanField(_("enabled"), default=False)
    available = models.BooleanField(
        _("available"),
        default=True,
        editable=False,
        help_text=_("Off: its server does not list it any more."),
    )
    changed = models.BooleanField(
        _("changed"),
        default=False,
        editable=False,
        help_text=_("Its server changed its description or its parameters after it was enabled."),
    )
    asks = models.BooleanField(
        _("asks"), default=True, help_text=_("Each call needs the approval of the person in the chat.")
    )
    for_everyone = models.BooleanField(
        _("for everyone"), default=True, help_text=_("Off: only the groups below may use it.")
    )
    groups = models.ManyToManyField(Group, blank=True, verbose_name=_("groups"))

    objects = ToolQuerySet.as_manager()

    class Meta:
        ordering = ["server__slug", "name"]
        verbose_name = _("tool")
        verbose_name_plural = _("tools")

    def __str__(self) -> str:
        return self.title or self.name

    @property
    def parameters(self) -> dict[str, Any]:
        """Returns the JSON Schema of its arguments, of a server's tool."""
        return self.definition.get("parameters") or {"type": "object", "properties": {}}
