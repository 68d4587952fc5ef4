"""The last step before a reply's HTML is sent: an allow-list of elements, attributes and values.

The writer produces nothing else, so this changes nothing in its output. It protects against errors of the
writer.
"""

import re

from nh3 import Cleaner

from chat.rendering.highlighter import HIGHLIGHT_CLASSES
from chat.rendering.links import is_footnote, is_web_address
from chat.rendering.math import MATH_CLASSES, bounded_length

ALERTS = ("note", "tip", "important", "warning", "caution")

_REL = "noopener noreferrer nofollow"
# fmt: off
_HTML = {
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "div", "section", "pre",
    "code", "table", "thead", "tbody", "tr", "th", "td", "hr", "br", "em", "strong", "del", "sup", "span",
    "a", "input", "button",
}
_MATHML = {
    "math", "merror", "mfrac", "mi", "mmultiscripts", "mn", "mo", "mover", "mpadded", "mphantom",
    "mprescripts", "mroot", "mrow", "ms", "mspace", "msqrt", "mstyle", "msub", "msubsup", "msup",
    "mtable", "mtd", "mtext", "mtr", "munder", "munderover", "menclose",
}
_MATHML_ATTRIBUTES = {
    "accent", "accentunder", "columnspan", "depth", "display", "displaystyle", "fence", "form", "height",
    "largeop", "linethickness", "lspace", "mathsize", "mathvariant", "maxsize", "minsize",
    "movablelimits", "notation", "rowspan", "rspace", "scriptlevel", "separator", "stretchy", "symmetric",
    "voffset", "width",
}
# fmt: on
_MATHML_VALUE = re.compile(r"[\w .%+-]{1,40}\Z")
_CLASSES = {
    "div": {"code-block", "code-header", "table-scroll"},
    "blockquote": {"markdown-alert", *(f"markdown-alert-{alert}" for alert in ALERTS)},
    "p": {"markdown-alert-title", "raw-html"},
    "span": {"code-language", "code-error", *HIGHLIGHT_CLASSES},
    "button": {"wrap-code", "save-code", "copy-code"},
    "code": {"math-source"},
    "th": {"align-left", "align-center", "align-right"},
    "td": {"align-left", "align-center", "align-right"},
    "sup": {"footnote-ref"},
    "section": {"footnotes"},
    "mtd": set(MATH_CLASSES),
    "mtable": set(MATH_CLASSES),
}
_VALUES = {
    ("a", "target"): {"_blank"},
    ("a", "rel"): {_REL},
    ("button", "type"): {"button"},
    ("input", "type"): {"checkbox"},
    ("input", "disabled"): {""},
    ("input", "checked"): {""},
    ("input", "aria-label"): {"Done", "To do"},
    ("pre", "tabindex"): {"0"},
    ("div", "tabindex"): {"0"},
}
_TEXT = {("a", "title"), ("button", "aria-label")}
_TEX = re.compile(r"[^<>&\"\xa0]*\Z")
_FOOTNOTE_ID = re.compile(r"fn-[\w-]{1,80}\Z")
_START_NUMBER = re.compile(r"\d{1,9}\Z")

# A code block exactly as `code` makes it: the cleaner would parse each of its thousands of spans and change
# nothing. (It writes a no-break space as an entity, so this text contains none.)
_CODE_BLOCK_OPEN = '<div class="code-block">'
_ESCAPED_LETTER = r"[^<>&\xa0]|&(?:amp|lt|gt);"
_ESCAPED = f"(?:{_ESCAPED_LETTER})*+"
_CODE_BLOCK = re.compile(
    rf'{_CODE_BLOCK_OPEN}<div class="code-header">(?:<span class="code-language">{_ESCAPED}</span>)?'
    r'(?:<button type="button" class="(?:wrap|save|copy)-code" aria-label="[^<>&\"\xa0]*"></button>){3}</div>'
    r'<pre tabindex="0"><code>'
    rf'(?:{_ESCAPED_LETTER}|<span class="(?:{"|".join(sorted(HIGHLIGHT_CLASSES))})">{_ESCAPED}</span>)*+'
    r"</code></pre></div>"
)


def sanitise(html: str) -> str:
    """Returns balanced `html` with only the allowed content of a reply."""
    if html.startswith(_CODE_BLOCK_OPEN) and _CODE_BLOCK.fullmatch(html):
        return html
    return _CLEANER.clean(html)


def _allowed_value(tag: str, attribute: str, value: str) -> str | None:
    match tag, attribute:
        case "a", "href":
            allowed = is_web_address(value) or is_footnote(value)
        case "li", "id":
            allowed = _FOOTNOTE_ID.match(value) is not None
        case "ol", "start":
            allowed = _START_NUMBER.match(value) is not None
        case "math", "data-tex":
            allowed = _TEX.match(value) is not None
        case _ if tag in _MATHML and attribute != "class":
            allowed = _MATHML_VALUE.match(value) is not None and bounded_length(attribute, value) == value
        case _:
            pair = (tag, attribute)
            allowed = attribute == "class" or pair in _TEXT or value in _VALUES.get(pair, ())
    return value if allowed else None


def _attributes() -> dict[str, set[str]]:
    names: dict[str, set[str]] = {tag: set(_MATHML_ATTRIBUTES) for tag in _MATHML}
    pairs = {
        *_VALUES.keys() - {("a", "rel")},
        *_TEXT,
        ("a", "href"),
        ("li", "id"),
        ("ol", "start"),
        ("math", "data-tex"),
    }
    for tag, attribute in pairs:
        names.setdefault(tag, set()).add(attribute)
    return names


_CLEANER = Cleaner(
    tags=_HTML | _MATHML,
    attributes=_attributes(),
    attribute_filter=_allowed_value,
    allowed_classes=_CLASSES,
    link_rel=_REL,
    url_schemes={"http", "https", "mailto"},
    url_relative="pass_through",
    strip_comments=True,
)
