"""The catalog: models, their prices, and who may use them.

The rows are filled from the model lists of the providers and edited in the admin.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from chat.models.endpoint import Endpoint, fixed_endpoints
from chat.models.user import User

_MILLION = Decimal(1_000_000)
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
        return (
            self.filter(enabled=True, available=True)
            .filter(Q(endpoint__in=list(fixed_endpoints())) | ~Q(endpoint__kind=""), endpoint__enabled=True)
            .filter(Q(alias_of=None) | Q(alias_of__enabled=True, alias_of__available=True))
            .select_related("endpoint", "alias_of", "fallback__endpoint")
        )

    def usable_by(self, user: User) -> ChatModelQuerySet:
        """Returns the usable models that are open to everyone or to one of the user's groups."""
        return self.usable().filter(Q(for_everyone=True) | Q(groups__in=user.groups.all())).distinct()


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
    reasons = models.BooleanField(
        _("reasons"), null=True, blank=True, help_text=_("Thinks before it answers.")
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
    output_price = models.DecimalField(
        _("output price"),
        max_digits=12,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(0, _NEGATIVE)],
        help_text=_("US dollars per million output tokens."),
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
    reasoning_effort = models.CharField(
        _("reasoning effort"), max_length=10, choices=Effort, blank=True, default="", db_default=""
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
                for price in ("input_price", "cached_input_price", "output_price")
            ),
        ]
        verbose_name = _("model")
        verbose_name_plural = _("models")

    def __str__(self) -> str:
        return self.label

    def is_open_to(self, user: User) -> bool:
        """Returns whether it is open to everyone or to one of the user's groups."""
        return self.for_everyone or self.groups.filter(pk__in=user.groups.all()).exists()

    def clean(self) -> None:
        target, fallback = self.alias_of, self.fallback
        if target is not None:
            if target.alias_of_id is not None or target == self:
                raise ValidationError({"alias_of": _("An alias cannot stand for an alias. Choose a model.")})
            self.endpoint = target.endpoint
        if fallback is not None and fallback == self:
            raise ValidationError({"fallback": _("Choose another model than this one.")})

    @property
    def target(self) -> ChatModel:
        """Returns the model that answers: the one that an alias stands for, else itself."""
        return self.alias_of or self

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
        self, input_tokens: int | None, output_tokens: int | None, cached_input_tokens: int | None = 0
    ) -> Decimal | None:
        """Returns the cost of these tokens at the current prices in US dollars; None while a price is
        unknown. `input_tokens` includes `cached_input_tokens`. An alias costs what its model costs."""
        if self.alias_of is not None:
            return self.alias_of.cost(input_tokens, output_tokens, cached_input_tokens)
        if self.input_price is None or self.output_price is None:
            return None
        cached_price = self.input_price if self.cached_input_price is None else self.cached_input_price
        asked, said = input_tokens or 0, output_tokens or 0
        cached = min(asked, cached_input_tokens or 0)
        dollars = (asked - cached) * self.input_price + cached * cached_price + said * self.output_price
        return dollars / _MILLION
