"""A code block: its frame, its language and, after it is complete, its syntax colours."""

from functools import cache
from html import escape

from django.utils.translation import gettext
from pygments.lexers import get_all_lexers

from chat.rendering.colours import colours

# Longer code stays plain: Pygments takes about 2.4 ms for 40 lines, and some of its lexers need more than
# linear time for one very long line.
LONGEST_HIGHLIGHTED = 100_000
_LONGEST_LINE = 5_000

CODE_CLOSE = "</code></pre></div>"


def code_open(info: str) -> str:
    """Returns the start of a code block's HTML up to its first line. `info` is the rest of the fence's first
    line.

    The label of a button is an attribute, which the style sheet shows. It is not part of the reply's text: it
    is not selected with it and not read aloud.
    """
    language = language_of(info)
    label = f'<span class="code-language">{escape(language)}</span>' if language else ""
    return (
        f'<div class="code-block"><div class="code-header">{label}'
        f'<button type="button" class="wrap-code" aria-label="{escape(gettext("Wrap"))}"></button>'
        f'<button type="button" class="save-code" aria-label="{escape(gettext("Download"))}"></button>'
        f'<button type="button" class="copy-code" aria-label="{escape(gettext("Copy"))}"></button></div>'
        '<pre tabindex="0"><code>'
    )


def language_of(info: str) -> str:
    """Returns the language of a code block as its author wrote it, cut to 40 characters."""
    words = info.replace("{", " ").replace("}", " ").replace(",", " ").split()
    return words[0].lstrip(".")[:40] if words else ""


def highlight(code: str, info: str) -> str:
    """Returns the lines of a code block as HTML with Pygments' short classes. Returns them escaped only if
    the colours come later (`colours` defines the wait), or if the code is too long or of no known language.
    Never raises."""
    language = language_of(info).lower()
    too_long = len(code) > LONGEST_HIGHLIGHTED or any(len(line) > _LONGEST_LINE for line in code.split("\n"))
    html = None if too_long or language not in _languages() else colours.html(language, code)
    return escape(code, quote=False) if html is None else html


@cache
def _languages() -> frozenset[str]:
    """Returns the names of Pygments' lexers without importing any of them."""
    return frozenset(alias for _, aliases, *_ in get_all_lexers(plugins=False) for alias in aliases)
