"""The catalog: models, their prices, and who may use them.

The rows are filled from the model lists of the providers and edited in the admin.
"""

from __future__ import annotations

import re
from decimal import Decimal

from django.contrib.auth.models import Group
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from chat.models.endpoint import Endpoint, fixed_endpoints
from chat.models.user import User

_MILLION = Decimal(1_000_000)
_NEGATIVE = _("A price cannot be negative. Leave it empty if it is not known.")


class ChatModelQuerySet(models.QuerySet["ChatModel"]):
    def usable(self) -> ChatModelQuerySet:
        """Returns the models that can be used now: enabled, still listed by the provider, and with
        a configured endpoint."""
        return (
            self.filter(enabled=True, available=True)
            .filter(Q(endpoint__in=list(fixed_endpoints())) | ~Q(endpoint__kind=""), endpoint__enabled=True)
            .select_related("endpoint")
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
        unknown. `input_tokens` includes `cached_input_tokens`."""
        if self.input_price is None or self.output_price is None:
            return None
        cached_price = self.input_price if self.cached_input_price is None else self.cached_input_price
        asked, said = input_tokens or 0, output_tokens or 0
        cached = min(asked, cached_input_tokens or 0)
        dollars = (asked - cached) * self.input_price + cached * cached_price + said * self.output_price
        return dollars / _MILLION
