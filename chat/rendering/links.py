"""Allowed link addresses, and addresses in plain text."""

import re
from html import escape

_WEB = re.compile(r"https?://[^\s/]|mailto:[^\s]", re.IGNORECASE)
_FOOTNOTE = re.compile(r"#fn-[\w-]+\Z")

# GitHub's extended autolinks, but a URL also ends at full-width punctuation. The look-behind keeps it linear.
_BARE = re.compile(
    r"(?<![A-Za-z0-9_/.@-])(?:"
    r"(?P<web>(?:https?://|www\.)[^\s<>\u3000-\u303f\uff00-\uffef]+)"
    r"|(?P<mail>(?>[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8})(?<!-)(?!_)))"
)
_TRAILING = frozenset("?!.,:;*_~'\"“”’…")
_LONGEST_ENTITY = 34  # "&CounterClockwiseContourIntegral;" is the longest name in HTML


def is_web_address(url: str) -> bool:
    """Returns whether a reply may link to `url`: http, https and mailto only."""
    return _WEB.match(url) is not None


def is_footnote(url: str) -> bool:
    """Returns whether `url` points to a footnote of a reply."""
    return _FOOTNOTE.match(url) is not None


def link_open(url: str, title: str = "") -> str:
    """Returns the start tag of a link that opens in a new tab and sends no referrer."""
    title = f' title="{escape(title)}"' if title else ""
    return f'<a href="{escape(url)}"{title} target="_blank" rel="noopener noreferrer nofollow">'


def text_html(text: str) -> str:
    """Escapes text and links the plain addresses in it."""
    if "://" not in text and "www." not in text and "@" not in text:
        return escape(text, quote=False)
    out: list[str] = []
    done = 0
    for found in _BARE.finditer(text):
        shown = _trim(found.group()) if found["web"] else found.group()
        url = _address(shown, is_mail=found["mail"] is not None)
        if url:
            out += (
                escape(text[done : found.start()], quote=False),
                link_open(url),
                escape(shown, quote=False),
                "</a>",
            )
            done = found.start() + len(shown)
    return "".join(out) + escape(text[done:], quote=False)


def _trim(url: str) -> str:
    """Removes punctuation that ends the sentence and not the URL, and a bracket opened before it. One pass
    from the end."""
    end = len(url)
    surplus = url.count(")") - url.count("(")
    while end:
        last = url[end - 1]
        if last == ")" and surplus > 0:
            surplus -= 1
        elif last not in _TRAILING:
            break
        end -= 1
        if last == ";":
            entity = url.rfind("&", max(0, end - _LONGEST_ENTITY), end)
            if entity >= 0 and url[entity + 1 : end].isascii() and url[entity + 1 : end].isalpha():
                end = entity
    return url[:end]


def _address(shown: str, *, is_mail: bool) -> str:
    if is_mail:
        return f"mailto:{shown}"
    url = shown if "://" in shown else f"http://{shown}"
    host = url.partition("://")[2]
    if "." not in host[1:] and not host.startswith(("localhost", "[")):
        return ""
    return url if is_web_address(url) else ""
