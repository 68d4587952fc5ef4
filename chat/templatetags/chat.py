"""Tags of the chat's templates."""

from __future__ import annotations

from uuid import UUID

from django import template
from django.conf import settings
from django.utils.safestring import SafeString

from chat.rendering import dom
from chat.rendering.markdown import render_markdown

register = template.Library()


@register.simple_tag
def dom_id(kind: str, value: UUID) -> str:
    """`{% dom_id "message" message.pk %}`: the id by the function of that name in `rendering.dom`."""
    result: str = getattr(dom, kind)(value)
    return result


@register.filter
def markdown(source: str) -> SafeString:
    return render_markdown(source)


@register.simple_tag
def signup_is_open() -> bool:
    return bool(settings.STEADY_OPEN_SIGNUP)
