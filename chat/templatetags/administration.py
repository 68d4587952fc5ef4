"""Template tags for the admin."""

from __future__ import annotations

from django import template
from django.db.models import QuerySet

from chat.admin.day import last_day
from chat.admin.day_plots import plots_of
from chat.admin.votes import pairs_of_models
from chat.models import Endpoint
from chat.models.endpoint import fixed_endpoints
from chat.rendering.plots import Plot
from chat.rendering.words import translated

register = template.Library()
register.filter("translated", translated)
register.simple_tag(pairs_of_models)


@register.simple_tag
def failing_providers() -> QuerySet[Endpoint]:
    """Returns the configured providers whose model list could not be read the last time."""
    providers = Endpoint.objects.configured().filter(enabled=True)
    return providers.exclude(sync_error="")


@register.simple_tag
def only_the_demo_answers() -> bool:
    """Returns whether real providers are configured and all of them fail."""
    demo = [slug for slug, endpoint in fixed_endpoints().items() if endpoint.kind == "demo"]
    providers = Endpoint.objects.configured().filter(enabled=True).exclude(slug__in=demo)
    return providers.exists() and not providers.filter(sync_error="").exists()


@register.simple_tag
def plots_of_the_last_day() -> list[Plot]:
    """Returns the plots of the last 24 hours; none if no reply ended."""
    return plots_of(last_day())


@register.simple_tag
def errors_of_the_last_day() -> list[tuple[str, int]]:
    """Returns the most common errors of the last 24 hours with their numbers."""
    return last_day().errors.most_common()
