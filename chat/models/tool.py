"""The tools that models may use, and the servers that offer some of them."""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass, field
from hashlib import sha256
from urllib.parse import urlsplit

from django.contrib.auth.models import Group
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from chat.models.user import User
from chat.tools import web_search
from chat.tools.remote import ClientCredentials, Server
from chatproject.crypto import UnreadableSecretError, decrypt, encrypt


@dataclass(frozen=True, slots=True)
class ServerSecrets:
    """What is encrypted in the row of a server."""

    headers: tuple[tuple[str, str], ...] = ()
    credentials: ClientCredentials = field(default_factory=ClientCredentials)

    def __bool__(self) -> bool:
        return bool(self.headers or self.credentials)


class ToolServer(models.Model):
    """An MCP server over streamable HTTP. `secret_headers` has its `ServerSecrets`, encrypted for its
    address."""

    slug = models.SlugField(
        _("short name"),
        unique=True,
        max_length=20,
        help_text=_("The names of its tools begin with it. Letters, digits and hyphens."),
        validators=[RegexValidator(r"^[a-z0-9-]+$", _("Use small letters, digits and hyphens."))],
    )
    url = models.URLField(_("address"), max_length=500)
    secret_headers = models.TextField(blank=True, editable=False)
    enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("Off: none of its tools can be used.")
    )
    for_everyone = models.BooleanField(
        _("for everyone"),
        default=True,
        db_default=True,
        help_text=_("Off: only the groups below may use it."),
    )
    groups = models.ManyToManyField(Group, blank=True, verbose_name=_("groups"))
    asks = models.BooleanField(
        _("asks"),
        default=True,
        db_default=True,
        help_text=_(
            "Each tool call needs the approval of the person in the chat. Off: none of its tools asks."
        ),
    )
    seconds = models.FloatField(
        _("seconds for one tool call"),
        default=30,
        db_default=30,
        validators=[MinValueValidator(1), MaxValueValidator(600)],
    )
    synced_at = models.DateTimeField(_("last synced"), null=True, blank=True, editable=False)
    sync_error = models.CharField(_("sync error"), max_length=300, blank=True, editable=False)

    class Meta:
        ordering = ["slug"]
        verbose_name = _("tool server")
        verbose_name_plural = _("tool servers")

    def __str__(self) -> str:
        return self.slug

    def server(self) -> Server:
        """Returns what a connection needs. Raises `UnreadableSecretError`."""
        found = self.secrets()
        return Server(self.slug, self.url, found.headers, found.credentials, self.seconds)

    def secrets(self) -> ServerSecrets:
        """Returns what is encrypted in this row. Raises `UnreadableSecretError`, also for what was encrypted
        for another server: a secret never goes to a server that it was not typed for."""
        if not self.secret_headers:
            return ServerSecrets()
        found = json.loads(decrypt(self.secret_headers))
        if found.get("for") != self._target():
            raise UnreadableSecretError
        headers = tuple((name, value) for name, value in found["headers"])
        return ServerSecrets(headers, ClientCredentials(*found["credentials"]))

    def set_secrets(self, secrets: ServerSecrets) -> None:
        """Encrypts them for this server at its present address."""
        if not secrets:
            self.secret_headers = ""
            return
        values = {
            "for": self._target(),
            "headers": secrets.headers,
            "credentials": astuple(secrets.credentials),
        }
        self.secret_headers = encrypt(json.dumps(values))

    def _target(self) -> list[str]:
        parts = urlsplit(self.url)
        return [self.slug, parts.scheme, parts.netloc.lower()]


class ToolQuerySet(models.QuerySet["Tool"]):
    def usable(self) -> ToolQuerySet:
        """Returns the tools that an administrator enabled and that still exist."""
        servers = Q(server=None) | Q(server__enabled=True)
        return self.filter(servers, enabled=True, available=True).select_related("server")

    def usable_by(self, user: User) -> ToolQuerySet:
        """Returns the usable tools that are open to everyone or to one of the user's groups, as their server
        must be, too."""
        groups = user.groups.all()
        servers = Q(server=None) | Q(server__for_everyone=True) | Q(server__groups__in=groups)
        own = Q(for_everyone=True) | Q(groups__in=groups)
        return self.usable().filter(own).filter(servers).distinct()


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
        _("asks"), default=True, help_text=_("Each tool call needs the approval of the person in the chat.")
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
    def seen(self) -> str:
        """Returns a hash of what an administrator reads: `fingerprint` and the title, which people see
        when they approve a call."""
        return sha256(f"{self.fingerprint} {self.title}".encode()).hexdigest()

    @property
    def must_ask(self) -> bool:
        """Returns whether a call needs an approval."""
        return self.asks and not self.is_search and (self.server is None or self.server.asks)

    @property
    def is_search(self) -> bool:
        """Returns whether it is the web search of the providers, which run it without asking."""
        return self.server_id is None and self.name == web_search.NAME
