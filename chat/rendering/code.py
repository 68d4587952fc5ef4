"""A code block: its frame, its language and, once it is complete, its colours."""

from functools import lru_cache
from html import escape
from itertools import groupby

from django.utils.translation import gettext
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES, _TokenType
from pygments.util import ClassNotFound

# Past these bounds code stays plain: Pygments takes about 2.4 ms for 40 lines, and some of its lexers more
# than linear time for one endless line.
LONGEST_HIGHLIGHTED = 100_000
_LONGEST_LINE = 5_000

# Pygments' short class names, less those that no style sheet colours: names, punctuation, blanks.
HIGHLIGHT_CLASSES = frozenset(STANDARD_TYPES.values()) - {"", "n", "nx", "p", "w", "x", "l", "ld", "g", "esc"}

CODE_CLOSE = "</code></pre></div>"


def code_open(info: str) -> str:
    """The start of a code block's HTML up to its first line; `info` is the rest of the fence's first line."""
    language = language_of(info)
    label = f'<span class="code-language">{escape(language)}</span>' if language else ""
    return (
        f'<div class="code-block"><div class="code-header">{label}'
        f'<button type="button" class="copy-code">{escape(gettext("Copy"))}</button></div>'
        '<pre tabindex="0"><code>'
    )


def language_of(info: str) -> str:
    """The language of a code block, as its author wrote it, in at most 40 characters."""
    words = info.replace("{", " ").replace("}", " ").replace(",", " ").split()
    return words[0].lstrip(".")[:40] if words else ""


def highlight(code: str, info: str) -> str:
    """Return the lines of a code block as HTML with Pygments' short classes, or only escaped.

    Costs about 60 us a line, so long code belongs on a thread. Never raises.
    """
    lexer = _lexer(language_of(info).lower())
    too_long = len(code) > LONGEST_HIGHLIGHTED or any(len(line) > _LONGEST_LINE for line in code.split("\n"))
    if lexer is None or too_long:
        return escape(code, quote=False)
    out: list[str] = []
    for name, tokens in groupby(lexer.get_tokens(code), lambda pair: _class_of(pair[0])):
        text = escape("".join(value for _, value in tokens), quote=False)
        out.append(f'<span class="{name}">{text}</span>' if name else text)
    return "".join(out).removesuffix("\n")


@lru_cache(maxsize=64)
def _lexer(language: str) -> Lexer | None:
    if not language:
        return None
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=True)
    except ClassNotFound:
        return None


@lru_cache(maxsize=512)
def _class_of(token: _TokenType) -> str:
    while token not in STANDARD_TYPES and token.parent is not None:
        token = token.parent
    name = STANDARD_TYPES.get(token, "")
    return name if name in HIGHLIGHT_CLASSES else ""
