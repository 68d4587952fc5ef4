"""Template tags for the admin."""

from __future__ import annotations

from django import template
from django.conf import settings
from django.db.models import QuerySet

from chat.models import Endpoint
from chat.rendering.words import translated

register = template.Library()
register.filter("said", translated)


@register.simple_tag
def failing_providers() -> QuerySet[Endpoint]:
    """Returns the configured providers whose model list could not be read the last time."""
    providers = Endpoint.objects.filter(enabled=True, slug__in=list(settings.CHAT_ENDPOINTS))
    return providers.exclude(sync_error="")


@register.simple_tag
def only_the_demo_answers() -> bool:
    """Returns whether real providers are configured and all of them fail."""
    real = [slug for slug, endpoint in settings.CHAT_ENDPOINTS.items() if endpoint.kind != "demo"]
    providers = Endpoint.objects.filter(enabled=True, slug__in=real)
    return providers.exists() and not providers.filter(sync_error="").exists()
