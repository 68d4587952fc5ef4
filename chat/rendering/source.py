"""Model output as Unicode text that is valid for all later steps.

The Markdown parser accepts UTF-8 (no lone surrogate), and `math` uses a few control characters as stand-ins,
so the input must contain neither.
"""

import re

_HIGH_SURROGATES = ("\ud800", "\udbff")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def clean_source(text: str) -> str:
    """Returns `text` with `\n` line ends, surrogate pairs joined, and U+FFFD for characters that cannot be
    shown."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii() and text.isprintable():
        return text
    if _CONTROL.search(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        text = _CONTROL.sub("\ufffd", text)
    return text


def split_unfinished(text: str) -> tuple[str, str]:
    """Cuts off a last character that the next chunk may complete: half of a CRLF or of a surrogate pair."""
    if text and (text[-1] == "\r" or _HIGH_SURROGATES[0] <= text[-1] <= _HIGH_SURROGATES[1]):
        return text[:-1], text[-1]
    return text, ""
