r"""TeX in Markdown: finds the formulas of a source and renders a formula as MathML.

Models write `$x$`, `$$x$$`, `\(x\)` and `\[x\]`, also across blank lines, and they write prices. The parser
knows the dollar forms only and pairs any two dollars. So `mask_math` decides first and marks the result with
stand-ins of the same length in bytes (source ranges stay valid): control characters, which
`source.clean_source` removes from input. `unmask` turns them back wherever text or code is shown.
"""

import re
from html import escape
from urllib.parse import quote

from math_core import LatexError, LatexToMathML

_DOLLAR, _OPEN_PAREN, _CLOSE_PAREN = "\x01\x02\x03"
_OPEN_SQUARE, _CLOSE_SQUARE, _NEWLINE, _GREATER, _HYPHEN = "\x04\x05\x06\x07\x08"
_STANDINS = {
    "$" + _OPEN_PAREN: r"\(",
    _CLOSE_PAREN + "$": r"\)",
    "$" + _OPEN_SQUARE: r"\[",
    _CLOSE_SQUARE + "$": r"\]",
    _DOLLAR: "$",
    _NEWLINE: "\n",
    _GREATER: ">",
    _HYPHEN: "-",
}
_STANDIN = re.compile("\\$[\x02\x04]|[\x03\x05]\\$|[\x01\x06-\x08]")
_ANY_STANDIN = re.compile("[\x01-\x08]")

# Limits that keep the search linear; a longer "formula" is text.
_LONGEST_BLOCK = 8_000
_LONGEST_INLINE = 1_000
_MOST_CLOSERS = 8
_LONGEST_CODE_SPAN = 2_000
_LONGEST_TEX = _LONGEST_BLOCK

# Short rows are filled up with empty cells: a wider table would be much larger than its source.
_MOST_COLUMNS = 128
_DELIMITER_ROW = re.compile(r"^[-|: \t>]+$", re.MULTILINE)

_TOKEN = re.compile(
    r"""
    ^[ \t>]*(?:(?:[-+*]|\d{1,9}[.)])[ \t]+)*(?P<fence>`{3,}(?=[^`\n]*$)|~{3,})
    | (?P<ticks>`+)
    | \\\( | \\\[ | \\[^\n]
    | \$\$ | \$
    """,
    re.MULTILINE | re.VERBOSE,
)
# "- > 25" is an item that says "more than 25", not a quotation.
_COMPARISON = re.compile(r"^([ \t]*(?:[-+*]|\d{1,9}[.)])[ \t]+)>(?=[ \t]?=?[ \t]?[$€£]?\d)", re.MULTILINE)
_BLANK_LINE = re.compile(r"\n[ \t>]*\n")
_LINE_LEAD = re.compile(r"[ \t]*(?:(?:[-+*]|\d{1,9}[.)])[ \t]+)*")
_MATH_SIGN = re.compile(r"[\\^_=+*<>{}|]")

_CLOSERS = {"$$": "$$", "\\[": "\\]"}

_PLAIN_IN_TEX = " !#$()*+,-./:;=?@[\\]^_`{|}~"

# math-core's style attributes, which the page's CSP forbids, as classes.
_STYLE = re.compile(r' style="([^"]*)"')
_STYLE_CLASSES = {
    "text-align: right": "math-right",
    "text-align: left": "math-left",
    "padding-left: 0": "math-flush-left",
    "padding-right: 0": "math-flush-right",
    "width: 100%": "math-wide",
    "width: 50%": "math-half",
}
MATH_CLASSES = frozenset(_STYLE_CLASSES.values())

# TeX may move its output anywhere and request any size. Larger values (in em) are not formulas but attempts
# to cover other messages or to make a reply extremely wide.
_MOST_EM = {"voffset": 2.0, "linethickness": 0.5}
_MOST_EM_ELSE = 20.0
_EM = {"em": 1.0, "rem": 1.0, "ex": 0.45, "px": 1 / 16, "pt": 1 / 12, "": 1.0}
_LENGTHS = ("width", "height", "depth", "voffset", "linethickness", "lspace", "rspace", "minsize", "maxsize")
_LENGTH_ATTRIBUTE = re.compile(rf' ({"|".join(_LENGTHS)})="([^"]*)"')
_LENGTH = re.compile(r"([+-]?\d{1,12}(?:\.\d{1,12})?)([a-z]*)\Z")


def mask_math(text: str) -> str:
    """Returns `text` with its formulas in the parser's forms and its other dollars hidden from the parser."""
    if "> " in text or ">=" in text:
        text = _COMPARISON.sub(rf"\1{_GREATER}", text)
    if text.count("|") > _MOST_COLUMNS:
        text = _DELIMITER_ROW.sub(_without_wide_table, text)
    if "$" not in text and "\\(" not in text and "\\[" not in text:
        return text
    out: list[str] = []
    done = pos = 0
    closers, lines = _Closers(text), _Lines(text)
    while token := _TOKEN.search(text, pos):
        start, pos = token.start(), token.end()
        if token["fence"]:
            pos = _end_of_fence(text, token["fence"], pos)
            continue
        if token["ticks"]:
            pos = _end_of_code_span(text, token["ticks"], pos)
            continue
        if found := _formula(text, token.group(), start, closers, lines):
            replacement, pos = found
        elif "$" in token.group() and token.group()[0] == "$":
            replacement = _DOLLAR * len(token.group())
        else:
            continue
        out += text[done:start], replacement
        done = pos
    return "".join(out) + text[done:] if out else text


def unclosed_formula(text: str) -> int:
    """Returns the start of the line that opens a formula on lines of its own which may still be closed, or
    the end.

    Such a formula may contain blank lines and apparent blocks, so nothing after its start is decided.
    """
    if "$$" not in text and "\\[" not in text:
        return len(text)
    pos = 0
    closers, lines = _Closers(text), _Lines(text)
    while token := _TOKEN.search(text, pos):
        start, pos = token.span()
        opener = token.group()
        if token["fence"]:
            pos = _end_of_fence(text, token["fence"], pos)
        elif token["ticks"]:
            pos = _end_of_code_span(text, token["ticks"], pos)
        elif opener in _CLOSERS:
            begins_line = lines.begins(start)
            end = closers.find(_CLOSERS[opener], pos, _LONGEST_BLOCK)
            if end >= 0:
                pos = end + 2
            elif len(text) - pos < _LONGEST_BLOCK and begins_line:
                return lines.start
    return len(text)


def unmask(text: str) -> str:
    """Returns masked text as it was written."""
    if not _ANY_STANDIN.search(text):
        return text
    return _ANY_STANDIN.sub("", _STANDIN.sub(lambda m: _STANDINS[m.group()], text))


def math_html(masked: str, *, display: bool) -> str:
    """Renders the inside of a formula to MathML. `data-tex` keeps its TeX for copying, percent-encoded, so
    that none of its characters look like markup. TeX that cannot be converted is shown as its source."""
    display = display or _OPEN_SQUARE in masked
    tex = unmask(masked).strip()
    try:
        if len(tex) > _LONGEST_TEX:
            raise LatexError
        mathml = _CONVERTER.convert_with_local_state(tex, displaystyle=display)
    except LatexError:
        return f'<code class="math-source">{escape(tex, quote=False)}</code>'
    mathml = _LENGTH_ATTRIBUTE.sub(_bound, _STYLE.sub(_style_to_class, mathml))
    return mathml.replace("<math", f'<math data-tex="{quote(tex, safe=_PLAIN_IN_TEX)}"', 1)


def bounded_length(attribute: str, value: str) -> str | None:
    """Returns a MathML length, limited to the size of formulas; None for an unknown form. Other attributes
    are returned unchanged."""
    if attribute not in _LENGTHS:
        return value
    found = _LENGTH.match(value)
    if not found or found[2] not in _EM:
        return None
    most = _MOST_EM.get(attribute, _MOST_EM_ELSE)
    em = float(found[1]) * _EM[found[2]]
    return value if abs(em) <= most else f"{most if em > 0 else -most:g}em"


_CONVERTER = LatexToMathML(fancy_error=False)


class _Closers:
    """Finds closers from left to right. Reads each character once, also for a closer that does not exist."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.absent_before: dict[str, int] = {}

    def find(self, closer: str, start: int, longest: int) -> int:
        """Returns the start of `closer`, at most `longest` characters after `start`, or -1."""
        end = self.text.find(closer, max(start, self.absent_before.get(closer, 0)), start + longest)
        if end < 0:
            self.absent_before[closer] = start + longest - len(closer) + 1
        return end


class _Lines:
    """Checks line beginnings from left to right. Reads each character once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.start = 0  # of the last requested line
        self._lead_end = self._end_of_lead()
        self._seen = 0

    def begins(self, index: int) -> bool:
        """Returns whether only blanks and item markers precede `index` on its line."""
        newline = self.text.rfind("\n", self._seen, index)
        self._seen = max(self._seen, index)
        if newline >= 0:
            self.start = newline + 1
            self._lead_end = self._end_of_lead()
        return self._lead_end >= index

    def _end_of_lead(self) -> int:
        lead = _LINE_LEAD.match(self.text, self.start)
        return lead.end() if lead else self.start


def _without_wide_table(row: re.Match[str]) -> str:
    return row[0].replace("-", _HYPHEN) if row[0].count("|") > _MOST_COLUMNS else row[0]


def _end_of_fence(text: str, fence: str, pos: int) -> int:
    closer = re.compile(rf"^[ \t>]*{fence[0]}{{{len(fence)},}}[ \t]*$", re.MULTILINE)
    found = closer.search(text, text.find("\n", pos) + 1 or len(text))
    return found.end() if found else len(text)


def _end_of_code_span(text: str, ticks: str, pos: int) -> int:
    closer = re.compile(rf"(?<!`)`{{{len(ticks)}}}(?!`)")
    found = closer.search(text, pos, pos + _LONGEST_CODE_SPAN)
    return found.end() if found and not _BLANK_LINE.search(text, pos, found.start()) else pos


def _formula(text: str, opener: str, start: int, closers: _Closers, lines: _Lines) -> tuple[str, int] | None:
    """Returns the masked formula that opens at `start`, and its end; None if none does."""
    inside = start + len(opener)
    match opener:
        case "$$":
            end = closers.find(_CLOSERS[opener], inside, _LONGEST_BLOCK)
            return _block(text, lines.begins(start), inside, end, ("$$", "$$"))
        case "\\[":
            end = closers.find(_CLOSERS[opener], inside, _LONGEST_BLOCK)
            return _block(text, lines.begins(start), inside, end, ("$" + _OPEN_SQUARE, _CLOSE_SQUARE + "$"))
        case "\\(":
            end = closers.find("\\)", inside, _LONGEST_INLINE)
            if end < 0 or not text[inside:end].strip() or _BLANK_LINE.search(text, inside, end):
                return None
            return f"${_OPEN_PAREN}{text[inside:end].replace('$', _DOLLAR)}{_CLOSE_PAREN}$", end + 2
        case "$":
            return _inline(text, start)
    return None


def _block(
    text: str, begins_line: bool, inside: int, end: int, marks: tuple[str, str]
) -> tuple[str, int] | None:
    if end < 0 or not text[inside:end].strip():
        return None
    tex = text[inside:end].replace("$", _DOLLAR)
    if begins_line:
        tex = tex.replace("\n", _NEWLINE)  # nothing in it can end the paragraph
    elif _BLANK_LINE.search(tex):
        return None
    return marks[0] + tex + marks[1], end + 2


def _inline(text: str, start: int) -> tuple[str, int] | None:
    """Applies Pandoc's rule (no space inside, no digit after) and, because of prices, no word character
    before."""
    if text[start - 1 : start].isalnum() or text[start + 1 : start + 2].isspace():
        return None
    end = start
    for _ in range(_MOST_CLOSERS):
        end = text.find("$", end + 1, start + _LONGEST_INLINE)
        if end <= start + 1 or "\n\n" in text[start:end] or "`" in text[start:end]:
            return None
        if text[end - 1].isspace() or text[end - 1] == "\\" or text[end + 1 : end + 2].isalnum():
            continue
        tex = text[start + 1 : end]
        if tex[0].isdigit() and " " in tex and not _MATH_SIGN.search(tex):
            return None
        return f"${tex.replace('$', _DOLLAR)}$", end + 1
    return None


def _bound(attribute: re.Match[str]) -> str:
    value = bounded_length(attribute[1], attribute[2])
    return "" if value is None else f' {attribute[1]}="{value}"'


def _style_to_class(style: re.Match[str]) -> str:
    classes = [_STYLE_CLASSES[part] for part in map(str.strip, style[1].split(";")) if part in _STYLE_CLASSES]
    return f' class="{" ".join(classes)}"' if classes else ""
