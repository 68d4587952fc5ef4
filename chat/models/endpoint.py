"""The endpoints: what Steady asks for replies, from three sources in one list.

- The environment: `settings.CHAT_ENDPOINTS`, fixed until the next start.
- A file: `settings.CHAT_PROVIDER_FILE`, read again on request.
- The administration: the columns of the row.

Each endpoint has a row, which a sync of the catalog makes for the first two. If several sources have an
endpoint of one name, the environment precedes the file, and the file the administration. The keys of the
first two are in memory only. Those of the administration are encrypted in the row, so each process reads the
row when it begins a reply, and a change needs no message between processes.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from chat.providers.base import EndpointConfig
from chatproject.crypto import UnreadableSecretError, decrypt, encrypt
from chatproject.provider_file import ollama_address

logger = logging.getLogger(__name__)

DETAIL_LENGTH = 300
_DAY = 86_400


class Kind(models.TextChoices):
    OPENAI = "openai", "OpenAI"
    ANTHROPIC = "anthropic", "Anthropic"
    GEMINI = "gemini", "Google Gemini"
    OPENAI_COMPATIBLE = "openai_compatible", _("OpenAI-compatible")
    OLLAMA = "ollama", "Ollama"
    AZURE = "azure", "Azure OpenAI"
    BEDROCK = "bedrock", _("Amazon Bedrock (models of Anthropic)")
    VERTEX = "vertex", _("Google Vertex AI (models of Anthropic)")


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is encrypted in a row."""

    key: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    proxy: str = ""

    def __bool__(self) -> bool:
        return bool(self.key or self.headers or self.query or self.proxy)


def fixed_endpoints() -> dict[str, EndpointConfig]:
    """Returns the endpoints of the environment and of the file, by their slugs. Needs no database."""
    return {**settings.CHAT_PROVIDER_FILE.endpoints, **settings.CHAT_ENDPOINTS}


class EndpointQuerySet(models.QuerySet["Endpoint"]):
    def configured(self) -> EndpointQuerySet:
        """Returns the endpoints that one of the sources describes."""
        return self.filter(Q(slug__in=list(fixed_endpoints())) | ~Q(kind=""))

    def configs(self) -> dict[str, EndpointConfig]:
        """Returns all endpoints of all sources, by their slugs. Those of the administration that are disabled
        are left out."""
        rows = self.filter(enabled=True).exclude(kind="")
        found = {row.slug: config for row in rows if (config := row.config()) is not None}
        return {**found, **fixed_endpoints()}


class Endpoint(models.Model):
    """An endpoint. The columns from `kind` on are those of an endpoint of the administration."""

    slug = models.SlugField(_("short name"), primary_key=True)
    name = models.CharField(_("name"), max_length=100)
    enabled = models.BooleanField(
        _("enabled"), default=True, help_text=_("Off: none of its models can be used.")
    )
    position = models.PositiveIntegerField(
        _("position"), default=100, help_text=_("Lower numbers come first in the model list.")
    )
    synced_at = models.DateTimeField(_("last synced"), null=True, blank=True, editable=False)
    sync_error = models.CharField(_("sync error"), max_length=300, blank=True, editable=False)
    sync_detail = models.CharField(
        _("provider's response"), max_length=DETAIL_LENGTH, blank=True, editable=False
    )

    kind = models.CharField(_("kind"), max_length=20, choices=Kind, blank=True, db_default="", default="")
    address = models.CharField(
        _("address"),
        max_length=500,
        blank=True,
        db_default="",
        default="",
        help_text=_("Empty: the provider's own. A server of your own usually ends in /v1."),
    )
    region = models.CharField(
        _("region"),
        max_length=40,
        blank=True,
        db_default="",
        default="",
        validators=[RegexValidator(r"^[a-z0-9-]+\Z")],
        help_text=_("For Amazon Bedrock and Google Vertex AI, such as eu-central-1 or europe-west1."),
    )
    project = models.CharField(
        _("project"),
        max_length=100,
        blank=True,
        db_default="",
        default="",
        validators=[RegexValidator(r"^[a-z0-9.:-]+\Z")],
        help_text=_("For Google Vertex AI: the ID of the project."),
    )
    encrypted = models.TextField(blank=True, db_default="", default="", editable=False)
    authority = models.TextField(
        _("certificate authority"),
        blank=True,
        db_default="",
        default="",
        help_text=_("Certificates in the PEM format that are trusted beside the usual ones."),
    )
    connect_seconds = models.FloatField(
        _("seconds to connect"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0.1), MaxValueValidator(_DAY)],
    )
    first_token_seconds = models.FloatField(
        _("seconds until the first word"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0.1), MaxValueValidator(_DAY)],
    )
    silence_seconds = models.FloatField(
        _("seconds between two words"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0.1), MaxValueValidator(_DAY)],
    )
    at_once = models.PositiveIntegerField(
        _("requests at once"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(10_000)],
        help_text=_("Further replies wait in a queue that is fair between people. Empty: no limit."),
    )

    slowed_until = models.DateTimeField(_("paused until"), null=True, blank=True, editable=False)

    objects = EndpointQuerySet.as_manager()

    class Meta:
        ordering = ["position", "slug"]
        verbose_name = _("provider")
        verbose_name_plural = _("providers")

    def __str__(self) -> str:
        return self.name

    @property
    def source(self) -> str:
        """Returns `environment`, `file`, `administration`, or "" if no source describes it any more."""
        if self.slug in settings.CHAT_ENDPOINTS:
            return "environment"
        if self.slug in settings.CHAT_PROVIDER_FILE.endpoints:
            return "file"
        return "administration" if self.kind else ""

    @property
    def present_kind(self) -> str:
        """Returns the kind that its source names; "" if no source describes it any more."""
        fixed = fixed_endpoints().get(self.slug)
        return fixed.kind if fixed is not None else self.kind

    def config(self) -> EndpointConfig | None:
        """Returns what a request needs; None if no source describes the endpoint, or if its secrets cannot be
        read."""
        fixed = fixed_endpoints().get(self.slug)
        if fixed is not None or not self.kind:
            return fixed
        try:
            secrets = self.secrets()
        except UnreadableSecretError:
            logger.error("The key of provider %s cannot be read. Type it again.", self.slug)
            return None
        is_ollama = self.kind == Kind.OLLAMA
        return EndpointConfig(
            self.slug,
            str(Kind.OPENAI_COMPATIBLE if is_ollama else self.kind),
            self.name,
            ollama_address(self.address) if is_ollama else self.address or None,
            secrets.key,
            self.connect_seconds or settings.CHAT_CONNECT_SECONDS,
            self.first_token_seconds,
            self.silence_seconds,
            secrets.headers,
            secrets.query,
            self.authority,
            secrets.proxy,
            self.at_once,
            self.region,
            self.project,
        )

    def secrets(self) -> Secrets:
        """Returns what is encrypted in this row. Raises `UnreadableSecretError`, also for what was encrypted
        for another endpoint or another server: a key never goes to a server that it was not typed for."""
        if not self.encrypted:
            return Secrets()
        found = json.loads(decrypt(self.encrypted))
        if found.get("for") != self._target():
            raise UnreadableSecretError
        pairs = {name: tuple((key, value) for key, value in found[name]) for name in ("headers", "query")}
        return Secrets(found["key"], pairs["headers"], pairs["query"], found["proxy"])

    def set_secrets(self, secrets: Secrets) -> None:
        """Encrypts them for this endpoint at its present address."""
        if not secrets:
            self.encrypted = ""
            return
        values = {
            "for": self._target(),
            "key": secrets.key,
            "headers": secrets.headers,
            "query": secrets.query,
            "proxy": secrets.proxy,
        }
        self.encrypted = encrypt(json.dumps(values))

    def _target(self) -> list[str]:
        parts = urlsplit(self.address)
        return [self.slug, self.kind, parts.scheme, parts.netloc.lower()]
