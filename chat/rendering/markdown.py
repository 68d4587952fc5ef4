from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe


def render_markdown(source: str) -> SafeString:
    return mark_safe("<p>" + escape(source) + "</p>")
