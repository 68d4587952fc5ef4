"""A reply's Markdown as safe HTML.

CommonMark with GitHub's tables, task lists, strikethrough, alerts, footnotes and bare links, and TeX as
MathML. Raw HTML is shown as the text it is; an image is loaded from this site only and is a link otherwise.
There are no ids but those of footnotes, which are made only with a prefix of the caller's and then read
`fn-PREFIX-1`.
"""

from django.utils.safestring import SafeString, mark_safe

from chat.rendering.code import highlight
from chat.rendering.sanitise import sanitise
from chat.rendering.source import clean_source
from chat.rendering.writer import Highlight, Notes, write


def render_markdown(source: str, *, id_prefix: str = "") -> SafeString:
    """Render a whole reply; never raises, and takes time linear in its length.

    `id_prefix` (letters, digits, `-`) must be unique in the page: with it, the mention of a footnote links to
    its text; without it, nothing in the result has an id.
    """
    return mark_safe("".join(render_blocks(source, id_prefix=id_prefix)))  # noqa: S308 - sanitised


def render_blocks(source: str, *, id_prefix: str = "", colour: Highlight = highlight) -> list[str]:
    """Render a whole reply to its top-level elements, each one sanitised by itself."""
    notes = Notes(id_prefix)
    written = write(clean_source(source), notes, colour=colour)
    blocks = [*written.blocks, notes.section()]
    return [safe for block in blocks if block and (safe := sanitise(block))]
