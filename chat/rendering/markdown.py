"""Renders a reply's Markdown as safe HTML.

Supports CommonMark with GitHub's tables, task lists, strikethrough, alerts, footnotes and plain links, and
TeX as MathML. Raw HTML is shown as text. An image is loaded from this site only and is a link otherwise. Only
footnotes have ids. They are made with a prefix of the caller and read `fn-PREFIX-1`.
"""

from django.utils.safestring import SafeString, mark_safe

from chat.rendering.code import highlight
from chat.rendering.sanitise import sanitise
from chat.rendering.source import clean_source
from chat.rendering.writer import Highlight, Notes, write


def render_markdown(source: str, *, id_prefix: str = "") -> SafeString:
    """Renders a whole reply in time linear in its length. Never raises.

    `id_prefix` (letters, digits, `-`) must be unique in the page: with it, footnote marks link to their
    texts; without it, the result has no ids.
    """
    return mark_safe("".join(render_blocks(source, id_prefix=id_prefix)))  # noqa: S308 - sanitised


def render_blocks(source: str, *, id_prefix: str = "", colour: Highlight = highlight) -> list[str]:
    """Renders a whole reply as a list of its top-level elements, each one sanitised by itself."""
    notes = Notes(id_prefix)
    written = write(clean_source(source), notes, colour=colour)
    blocks = [*written.blocks, notes.section()]
    return [safe for block in blocks if block and (safe := sanitise(block))]
