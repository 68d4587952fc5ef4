"""The catalog: models, their prices, and who may use them.

The rows are filled from the model lists of the providers and edited in the admin.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from chat.models.endpoint import Endpoint, Kind, fixed_endpoints
from chat.models.parameters import EFFORTS, HOTTEST, MOST_OUTPUT, Allowed, Parameters
from chat.models.prepared import Prepared
from chat.models.user import User

_MILLION = Decimal(1_000_000)
_THOUSAND = Decimal(1_000)
# https://platform.claude.com/docs/en/build-with-claude/prompt-caching#pricing
_WRITING = Decimal("1.25")  # times the input price
_ANTHROPIC = frozenset({Kind.ANTHROPIC, Kind.BEDROCK, Kind.VERTEX})
_OPENAI = frozenset({Kind.OPENAI, Kind.AZURE})
_UNDER = _("This is below the minimum.")
_OUTSIDE = _("This is outside of what people may choose.")
_NEGATIVE = _("A price cannot be negative. Leave it empty if it is not known.")


# What Steady sets itself: another value would break the request, or the promise of what is sent.
_OWN_FIELDS = frozenset(
    {
        *("model", "messages", "input", "contents", "system", "instructions", "systemInstruction"),
        *("stream", "stream_options", "store", "tools", "tool_choice"),
    }
)
_BODY_CHARS = 4_000


def check_extra_body(value: object) -> None:
    """Raises `ValidationError` for what is no object, is too large, or replaces a field of Steady's own."""
    if not isinstance(value, dict) or len(json.dumps(value)) > _BODY_CHARS:
        raise ValidationError(_("Write a JSON object."))
    if own := sorted(_OWN_FIELDS & value.keys()):
        raise ValidationError(_("Steady sets %(name)s itself. Leave it out."), params={"name": own[0]})


class Effort(models.TextChoices):
    NONE = "none", _("none")
    LOW = "low", _("low")
    MEDIUM = "medium", _("medium")
    HIGH = "high", _("high")


class ChatModelQuerySet(models.QuerySet["ChatModel"]):
    def usable(self) -> ChatModelQuerySet:
        """Returns the models that can be used now: enabled, still listed by the provider, and with
        a configured endpoint."""
        configured = Q(endpoint__in=list(fixed_endpoints())) | ~Q(endpoint__kind="")
        return self.switched_on().filter(configured)

    def switched_on(self) -> ChatModelQuerySet:
        """As `usable`, of any endpoint that is enabled."""
        return (
            self.filter(enabled=True, available=True, endpoint__enabled=True)
            .filter(Q(alias_of=None) | Q(alias_of__enabled=True, alias_of__available=True))
            .select_related("endpoint", "alias_of__endpoint", "fallback__endpoint")
        )

    def open_to(self, user: User) -> ChatModelQuerySet:
        """Returns the models that are open to everyone or to one of the user's groups."""
        return self.filter(Q(for_everyone=True) | Q(groups__in=user.groups.all())).distinct()

    def usable_by(self, user: User) -> ChatModelQuerySet:
        return self.usable().open_to(user)


class ChatModel(models.Model):
    """A model that people can chat with."""

    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.CASCADE, related_name="models", verbose_name=_("provider")
    )
    name = models.CharField(_("name"), max_length=200, help_text=_("The provider's ID of the model."))
    display_name = models.CharField(_("display name"), max_length=200, blank=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    available = models.BooleanField(
        _("available"), default=True, editable=False, help_text=_("Off: the provider has stopped listing it.")
    )
    listed_at = models.DateTimeField(
        _("listed"), null=True, blank=True, editable=False, help_text=_("When the provider last listed it.")
    )
    for_everyone = models.BooleanField(
        _("for everyone"), default=True, help_text=_("Off: only the groups below may use it.")
    )
    groups = models.ManyToManyField(Group, blank=True, verbose_name=_("groups"))
    context_window = models.PositiveIntegerField(
        _("context window"), null=True, blank=True, help_text=_("In tokens.")
    )
    max_output_tokens = models.PositiveIntegerField(_("maximum output tokens"), null=True, blank=True)
    takes_images = models.BooleanField(_("takes images"), null=True, blank=True)
    takes_audio = models.BooleanField(
        _("takes audio"),
        null=True,
        blank=True,
        help_text=_(
            "Unknown: only models of Gemini. OpenAI, Azure and compatible servers take WAV and MP3 files."
        ),
    )
    reasons = models.BooleanField(
        _("reasons"), null=True, blank=True, help_text=_("Reasons before it answers.")
    )
    uses_tools = models.BooleanField(
        _("uses tools"), null=True, blank=True, help_text=_("No: it is not offered the tools of a chat.")
    )
    searches_web = models.BooleanField(
        _("searches the web"),
        null=True,
        blank=True,
        help_text=_(
            "Yes: people can switch on the web search of its provider in a chat. The provider charges for "
            "each search."
        ),
    )
    gives_json = models.BooleanField(
        _("answers in JSON"),
        null=True,
        blank=True,
        help_text=_("No: programs that ask it for JSON are told so at once."),
    )
    takes_temperature = models.BooleanField(
        _("takes a temperature"),
        null=True,
        blank=True,
        help_text=_("Unknown: yes, except models of Anthropic and models of OpenAI that reason."),
    )
    input_price = models.DecimalField(
        _("input price"),
        max_digits=12,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0, _NEGATIVE)],
        help_text=_("US dollars per million input tokens."),
    )
    cached_input_price = models.DecimalField(
        _("price of cached input"),
        max_digits=12,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0, _NEGATIVE)],
        help_text=_(
            "US dollars per million tokens in that the provider had in its cache. Empty: the input price."
        ),
    )
    cache_write_price = models.DecimalField(
        _("price of writing to the cache"),
        max_digits=12,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0, _NEGATIVE)],
        help_text=_(
            "US dollars per million tokens that the provider stored in its cache, where it reports them "
            "(Anthropic). Empty: a quarter more than the input price."
        ),
    )
    output_price = models.DecimalField(
        _("output price"),
        max_digits=12,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0, _NEGATIVE)],
        help_text=_("US dollars per million output tokens."),
    )
    search_price = models.DecimalField(
        _("price of web searches"),
        max_digits=12,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0, _NEGATIVE)],
        help_text=_("US dollars per thousand searches. Empty: they are not a part of the cost."),
    )
    position = models.PositiveIntegerField(_("position"), default=100)

    description = models.CharField(
        _("description"),
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text=_("Shown in the list of models."),
    )
    hidden = models.BooleanField(
        _("hidden"),
        default=False,
        db_default=False,
        help_text=_(
            "Not offered in the list of models. Chats, aliases and programs that name it still use it."
        ),
    )
    alias_of = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="aliases",
        verbose_name=_("alias of"),
        help_text=_("Another model answers under this name, at its price. A later choice changes no chat."),
    )
    fallback = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("fallback"),
        help_text=_("Answers instead if this model fails before its first word. The reply says so."),
    )
    system_prompt = models.TextField(
        _("instructions"),
        blank=True,
        default="",
        db_default="",
        max_length=20_000,
        help_text=_("Sent to this model after the instructions of the server."),
    )
    temperature = models.FloatField(
        _("temperature"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(2)],
        help_text=_("From 0 to 2. Empty: the provider's own."),
    )
    lowest_temperature = models.FloatField(
        _("lowest temperature"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(2)],
        help_text=_("People can set a temperature from here. Empty: from 0."),
    )
    highest_temperature = models.FloatField(
        _("highest temperature"),
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(2)],
        help_text=_("Up to here. The same as the lowest: people cannot set it."),
    )
    default_output_tokens = models.PositiveIntegerField(
        _("usual output length"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("In tokens. The longest a reply gets if nobody asks for more. Empty: the maximum."),
    )
    reasoning_effort = models.CharField(
        _("reasoning effort"), max_length=10, choices=Effort, blank=True, default="", db_default=""
    )
    lowest_effort = models.CharField(
        _("lowest reasoning effort"),
        max_length=10,
        choices=Effort,
        blank=True,
        default="",
        db_default="",
        help_text=_("People can choose an effort from here. Empty: any, for models that reason."),
    )
    highest_effort = models.CharField(
        _("highest reasoning effort"),
        max_length=10,
        choices=Effort,
        blank=True,
        default="",
        db_default="",
        help_text=_("Up to here. The same as the lowest: people cannot choose it."),
    )
    extra_body = models.JSONField(
        _("extra fields of the request"),
        null=True,
        blank=True,
        validators=[check_extra_body],
        help_text=_('A JSON object that is added to each request, such as {"top_k": 20}.'),
    )

    objects = ChatModelQuerySet.as_manager()

    class Meta:
        ordering = ["endpoint__position", "endpoint_id", "position", "name"]
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "name"], name="one_row_per_model"),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{price}__gte": 0}),
                    name=f"{price}_is_not_negative",
                    violation_error_message=_NEGATIVE,
                )
                for price in ("input_price", "cached_input_price", "cache_write_price", "output_price")
            ),
        ]
        verbose_name = _("model")
        verbose_name_plural = _("models")

    def __str__(self) -> str:
        return self.label

    def is_open_to(self, user: User) -> bool:
        """Returns whether it is open to everyone or to one of the user's groups."""
        return self.for_everyone or self.groups.filter(pk__in=user.groups.all()).exists()

    @property
    def is_configured(self) -> bool:
        """Whether one of the sources describes its endpoint."""
        return bool(self.endpoint.kind) or self.endpoint_id in fixed_endpoints()

    def clean(self) -> None:
        target, fallback = self.alias_of, self.fallback
        if target is not None:
            if target.alias_of_id is not None or target == self:
                raise ValidationError({"alias_of": _("An alias cannot stand for an alias. Choose a model.")})
            self.endpoint = target.endpoint
        if fallback is not None and fallback == self:
            raise ValidationError({"fallback": _("Choose another model than this one.")})
        self._clean_ranges()

    def _clean_ranges(self) -> None:
        low, high = self._temperatures()
        if low > high:
            raise ValidationError({"highest_temperature": _UNDER})
        if self.temperature is not None and not low <= self.temperature <= high:
            raise ValidationError({"temperature": _OUTSIDE})
        efforts = self._efforts()
        if not efforts:
            raise ValidationError({"highest_effort": _UNDER})
        if self.reasoning_effort and self.reasoning_effort not in efforts:
            raise ValidationError({"reasoning_effort": _OUTSIDE})
        if (self.default_output_tokens or 0) > (self.max_output_tokens or MOST_OUTPUT):
            raise ValidationError({"default_output_tokens": _OUTSIDE})

    @property
    def target(self) -> ChatModel:
        """Returns the model that answers: the one that an alias stands for, else itself."""
        return self.alias_of or self

    @property
    def allowed(self) -> Allowed:
        """Returns what people may set for this model. An alias allows what its model allows."""
        if self.alias_of is not None:
            return self.alias_of.allowed
        low, high = self._temperatures()
        efforts = self._efforts()
        limits = [it for it in (settings.CHAT_MAX_OUTPUT_TOKENS, self.max_output_tokens) if it]
        reasons = self.reasons or self.reasoning_effort or self.lowest_effort or self.highest_effort
        return Allowed(
            (low, high) if low < high and self._has_temperature() else None,
            (1, min(limits, default=MOST_OUTPUT)),
            efforts if reasons and len(efforts) > 1 else (),
        )

    @property
    def defaults(self) -> Parameters:
        """Returns what a request has if nobody sets anything."""
        return Parameters(self.temperature, self.default_output_tokens, self.reasoning_effort)

    def _temperatures(self) -> tuple[float, float]:
        most = 1.0 if self.endpoint_kind in _ANTHROPIC else HOTTEST
        high = most if self.highest_temperature is None else self.highest_temperature
        return self.lowest_temperature or 0.0, high

    def _efforts(self) -> tuple[str, ...]:
        first = EFFORTS.index(self.lowest_effort) if self.lowest_effort else 0
        last = EFFORTS.index(self.highest_effort) if self.highest_effort else len(EFFORTS) - 1
        return EFFORTS[first : last + 1]

    def _has_temperature(self) -> bool:
        if self.takes_temperature is not None:
            return self.takes_temperature
        if self.temperature is not None:
            return True
        kind = self.endpoint_kind
        return kind not in {*_ANTHROPIC, "demo"} and not (kind in _OPENAI and self.reasons)

    @property
    def audio_types(self) -> tuple[str, ...]:
        """Returns the media types of the audio files that it takes. An alias takes what its model takes."""
        if self.alias_of is not None:
            return self.alias_of.audio_types
        return audio_types(self.endpoint_kind, self.takes_audio)

    @property
    def endpoint_kind(self) -> str:
        return self.endpoint.present_kind if self.endpoint_id else ""

    @property
    def label(self) -> str:
        return self.display_name or self.name

    def place_in_list(self) -> tuple[object, ...]:
        """Returns a sort key for lists: by provider, then by the administrators' order, then by name with
        numbers as numbers (gpt-4, gpt-4.1, gpt-10)."""
        parts = re.split(r"(\d+)", self.label.casefold())
        natural = [int(part) if number % 2 else part for number, part in enumerate(parts)]
        return (self.endpoint.position, self.endpoint_id, self.position, natural)

    def cost(
        self,
        input_tokens: int | None,
        output_tokens: int | None,
        cached_input_tokens: int | None = 0,
        cache_written_tokens: int = 0,
        searches: int = 0,
    ) -> Decimal | None:
        """Returns the cost of these tokens at the current prices in US dollars; None while a price is
        unknown. `input_tokens` includes those that were read from the provider's cache and those that were
        written to it. An alias costs what its model costs."""
        if self.alias_of is not None:
            return self.alias_of.cost(
                input_tokens, output_tokens, cached_input_tokens, cache_written_tokens, searches
            )
        if self.input_price is None or self.output_price is None:
            return None
        cached_price = self.input_price if self.cached_input_price is None else self.cached_input_price
        asked, said = input_tokens or 0, output_tokens or 0
        cached = min(asked, cached_input_tokens or 0)
        written = min(asked - cached, cache_written_tokens)
        write_price = self.cache_write_price
        if write_price is None:
            write_price = self.input_price * _WRITING
        dollars = (asked - cached - written) * self.input_price + cached * cached_price
        dollars += written * write_price + said * self.output_price
        return dollars / _MILLION + searches * (self.search_price or 0) / _THOUSAND


def audio_types(kind: str, takes_audio: bool | None) -> tuple[str, ...]:
    """Returns the media types of audio that a model of an endpoint of this kind takes. `takes_audio` is what
    the catalog says, None if it is unknown."""
    takes = kind == "gemini" if takes_audio is None else takes_audio
    return _AUDIO_TYPES.get(kind, ()) if takes else ()


# The formats of each API, among those that `chat.files.detect` knows.
_WAV_AND_MP3 = ("audio/wav", "audio/mpeg")
_AUDIO_TYPES = {
    "gemini": (*_WAV_AND_MP3, "audio/ogg", "audio/flac", "audio/mp4"),
    "openai": _WAV_AND_MP3,
    "azure": _WAV_AND_MP3,
    "openai_compatible": _WAV_AND_MP3,
    "ollama": _WAV_AND_MP3,
}

# The configured endpoints are not in these: they change while the process runs.
_listed = Prepared(
    lambda user: ChatModel.objects.switched_on().open_to(User(pk=user)).filter(hidden=False), int
)
_switched_on = Prepared(lambda pk: ChatModel.objects.switched_on().filter(pk=pk), int)


def listed_models(user: User) -> list[ChatModel]:
    """Returns the models that the user can choose, in the order of the list."""
    return sorted((m for m in _listed.all(user.pk) if m.is_configured), key=ChatModel.place_in_list)


def usable_model(model_id: int) -> ChatModel | None:
    """Returns the model if it can be used now, open to whomever."""
    model = _switched_on.first(model_id)
    return model if model is not None and model.is_configured else None
