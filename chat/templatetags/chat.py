"""Template tags for the chat."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.resources import files
from types import SimpleNamespace
from uuid import UUID
from zipfile import ZipFile

from django import template
from django.conf import settings
from django.forms.utils import flatatt
from django.template import Context
from django.template.defaulttags import CsrfTokenNode
from django.template.loader import render_to_string
from django.urls import get_script_prefix
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

from chat.actions.first_admin import has_no_users
from chat.models import LIVE, Message
from chat.models.message import side_by_side
from chat.rendering import dom
from chat.rendering.articles import is_long, title_of_reasoning
from chat.rendering.colours import rendering_for
from chat.rendering.render_cache import render_cache
from chat.rendering.reply_facts import price, reply_facts
from chat.rendering.tool_cards import reply_body
from chat.rendering.words import parameters_in_words, seconds, translated
from chat.sources import marks_of

# Lucide's names of the icons in the page's sprite.
_ICONS = (
    "archive archive-restore arrow-down arrow-up bot braces chevron-down chevron-left chevron-right "
    "columns-2 command copy ellipsis file file-down folder folder-input folder-plus git-branch keyboard "
    "list-checks log-out message-square panel-left paperclip pencil pin pin-off printer rotate-ccw "
    "search send settings share-2 shield sliders-horizontal square square-pen star sun-moon table "
    "thumbs-down thumbs-up trash-2 user-round-check user-round-x wand-sparkles wrench x"
)

# They stand for what differs between messages and between forms.
_MESSAGE = UUID(int=0x5AFE0001_0000_4000_8000_000000000001)
_CHAT = UUID(int=0x5AFE0002_0000_4000_8000_000000000002)
_TOKEN = "token-of-the-form"  # noqa: S105

_DELETES = SafeString('<input type="hidden" name="_method" value="delete">')

register = template.Library()
register.filter("seconds", seconds)
register.filter("parameters", parameters_in_words)
register.filter("side_by_side", side_by_side)
register.filter("is_long", is_long)
register.filter("translated", translated)
register.simple_tag(title_of_reasoning)
register.simple_tag(reply_facts)
register.filter("price", price)
register.simple_tag(has_no_users)


@register.simple_tag
def dom_id(kind: str, *values: object) -> str:
    """`{% dom_id "message" message.pk %}` returns the id from the function of that name in
    `rendering.dom`."""
    result: str = getattr(dom, kind)(*values)
    return result


@register.filter
def markdown(source: str, message: Message) -> SafeString:
    """Renders the text of that message as HTML."""
    is_loaded = Message.conversation.is_cached(message)
    with rendering_for(message.conversation.owner_id if is_loaded else message.conversation_id):
        return render_cache.html(source, dom.footnotes(message.pk))


@register.filter
def text_body(message: Message) -> SafeString:
    """Renders the text of a stored reply as HTML, without its tool calls and searches."""
    is_loaded = Message.conversation.is_cached(message)
    with rendering_for(message.conversation.owner_id if is_loaded else message.conversation_id):
        return render_cache.html(message.text, dom.footnotes(message.pk), marks_of(message.citations))


@register.filter
def body(message: Message) -> SafeString:
    """Renders a stored reply as HTML: its texts, and the cards of tool calls between them."""
    is_loaded = Message.conversation.is_cached(message)
    with rendering_for(message.conversation.owner_id if is_loaded else message.conversation_id):
        return reply_body(message)


@register.filter
def transcript_body(message: Message) -> SafeString:
    """Renders a stored reply for a reviewer: without the buttons that decide on a tool call."""
    with rendering_for(message.conversation_id):
        return reply_body(message, decides=False)


@register.simple_block_tag(takes_context=True)
def htmx_form(
    context: Context,
    content: SafeString,
    method: str,
    url: str,
    *,
    swap: str = "none",
    target: str = "",
    include: str = "",
    css_class: str = "",
) -> SafeString:
    """Renders `{% htmx_form "delete" url %}<button ...>{% endhtmx_form %}`: a form that htmx sends, or the
    browser without scripts. `method` is "get", "post", or "delete": a POST with the field `_method`."""
    verb = "get" if method == "get" else "post"
    attributes = {"class": css_class, "hx-target": target, "hx-swap": swap, "hx-include": include}
    token = CsrfTokenNode().render(context) if verb == "post" else ""
    overrides = _DELETES if method == "delete" else ""
    return format_html(
        '<form method="{0}" action="{1}" hx-{0}="{1}"{2}>{3}{4}{5}</form>',
        verb,
        url,
        flatatt({name: value for name, value in attributes.items() if value}),
        token,
        overrides,
        content,
    )


@register.simple_tag
@cache
def icon(name: str, size: int = 18) -> SafeString:
    """Renders an icon of the page's sprite: 60 bytes instead of 400 for the drawing. Replies contain many."""
    return format_html(
        '<svg class="icon" width="{0}" height="{0}" aria-hidden="true"><use href="#i-{1}"/></svg>', size, name
    )


@register.simple_tag
@cache
def icon_sprite() -> SafeString:
    """Renders the drawings that `icon` refers to, once per page.

    Lucide's own tag reads the directory of its archive, 1,700 entries, for each icon: 0.5 s in all."""
    symbols = []
    with files("lucide").joinpath("lucide.zip").open("rb") as file, ZipFile(file) as drawings:
        for name in _ICONS.split():
            inner = drawings.read(f"{name}.svg").decode().partition(">")[2].rpartition("</svg>")[0]
            inner = "".join(line.strip() for line in inner.splitlines())
            symbols.append(f'<symbol id="i-{name}" viewBox="0 0 24 24">{inner}</symbol>')
    return mark_safe(f'<svg width="0" height="0" hidden>{"".join(symbols)}</svg>')  # noqa: S308  (our own)


@register.simple_tag(takes_context=True)
def include_cached(context: Context, template: str) -> SafeString:
    """Includes a template that differs between messages only by their ids, their role and the state of a
    reply. Each state is rendered once for each language, and the ids are put in afterwards."""
    message, generation = context["message"], context.get("generation")
    status, token = generation.status if generation else "", context.get("csrf_token", "")
    html = _rendered_once(template, str(status), bool(token), get_language(), get_script_prefix())
    html = html.replace(str(_MESSAGE), str(message.pk)).replace(str(_CHAT), str(message.conversation_id))
    return mark_safe(html.replace(_TOKEN, str(token)))  # noqa: S308  (from a template, with ids)


@lru_cache(500)  # Daphne takes the prefix of paths from a header
def _rendered_once(template: str, status: str, has_token: bool, language: str, prefix: str) -> str:
    generation = SimpleNamespace(status=status, is_live=status in LIVE) if status else None
    message = SimpleNamespace(pk=_MESSAGE, conversation_id=_CHAT)
    context = {"message": message, "generation": generation}
    return render_to_string(template, {**context, "csrf_token": _TOKEN} if has_token else context)


@register.filter
def thousands(value: int | None) -> str:
    """Formats a number of tokens in short form: 800, 32k, 1M."""
    if value is None:
        return ""
    for size, sign in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:.3g}{sign}"
    return str(value)


@register.simple_tag
def sends_mail() -> bool:
    return bool(settings.MAILERS["default"]["BACKEND"] != "chatproject.mail.Unsent")


@register.simple_tag
def signup_is_open() -> bool:
    return bool(settings.STEADY_OPEN_SIGNUP)
