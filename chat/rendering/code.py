"""A code block: its frame, its language and, once it is complete, its colours."""

from functools import lru_cache
from html import escape

from django.utils.translation import gettext
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES, _TokenType
from pygments.util import ClassNotFound

from chat.rendering.lexing import tokens

# Past these bounds code stays plain: Pygments takes about 2.4 ms for 40 lines, and some of its lexers more
# than linear time for one endless line.
LONGEST_HIGHLIGHTED = 100_000
_LONGEST_LINE = 5_000

# Pygments' short class names, less those that no style sheet colours: names, punctuation, blanks.
HIGHLIGHT_CLASSES = frozenset(STANDARD_TYPES.values()) - {"", "n", "nx", "p", "w", "x", "l", "ld", "g", "esc"}

CODE_CLOSE = "</code></pre></div>"


def code_open(info: str) -> str:
    """The start of a code block's HTML up to its first line; `info` is the rest of the fence's first line.

    The button's words are an attribute, which the style sheet shows. They are no text of the reply: they are
    not selected with it, and not read aloud."""
    language = language_of(info)
    label = f'<span class="code-language">{escape(language)}</span>' if language else ""
    return (
        f'<div class="code-block"><div class="code-header">{label}'
        f'<button type="button" class="copy-code" aria-label="{escape(gettext("Copy"))}"></button></div>'
        '<pre tabindex="0"><code>'
    )


def language_of(info: str) -> str:
    """The language of a code block, as its author wrote it, in at most 40 characters."""
    words = info.replace("{", " ").replace("}", " ").replace(",", " ").split()
    return words[0].lstrip(".")[:40] if words else ""


def may_hold_code(source: str) -> bool:
    """Whether there may be a block in it that has colours."""
    return "```" in source or "~~~" in source


def highlight(code: str, info: str) -> str:
    """Return the lines of a code block as HTML with Pygments' short classes, or only escaped.

    Costs about 30 us a line, and 2 to 300 ms for the first of a language, so it belongs on a thread. Never
    raises.
    """
    lexer = _lexer(language_of(info).lower())
    too_long = len(code) > LONGEST_HIGHLIGHTED or any(len(line) > _LONGEST_LINE for line in code.split("\n"))
    if lexer is None or too_long:
        return escape(code, quote=False)
    out: list[str] = []
    name, run = "", ""  # neighbours of one class
    for token, value in tokens(lexer, code + "\n"):
        if (next_name := _CLASS_OF[token]) == name:
            run += value
        else:
            out.append(_span(name, run))
            name, run = next_name, value
    out.append(_span(name, run))
    return "".join(out).removesuffix("\n")


def _span(name: str, text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f'<span class="{name}">{text}</span>' if name else text


@lru_cache(maxsize=64)
def _lexer(language: str) -> Lexer | None:
    if not language:
        return None
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=True)
    except ClassNotFound:
        return None


class _Classes(dict[_TokenType, str]):
    def __missing__(self, token: _TokenType) -> str:
        kind = token
        while kind not in STANDARD_TYPES and kind.parent is not None:
            kind = kind.parent
        name = STANDARD_TYPES.get(kind, "")
        self[token] = name if name in HIGHLIGHT_CLASSES else ""
        return self[token]


_CLASS_OF = _Classes()
