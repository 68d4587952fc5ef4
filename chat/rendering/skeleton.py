"""HTML that is rendered once by its template, and filled with values afterwards.

Django's template engine takes about a millisecond for a message. Most messages differ only in a few places,
so their HTML is rendered once with a mark in each of these places, and split there.
"""

from __future__ import annotations

import re
from uuid import UUID

# Marks are of the private use area, or are ids and a time that no message has. None of them is escaped.
MESSAGE, CHAT, CLIENT = (UUID(int=0x5AFE0003_0000_4000_8000_000000000000 + number) for number in range(3))
SINCE = 32_503_680_077  # in the year 3000
TEXT, LABEL, BODY, REASONING, REASONING_TITLE, FACTS, NOW, TITLE = (f"\ue000{n}\ue000" for n in range(8))
LONG_TEXT = "\ue000" + "\n" * 100 + "\ue000"  # a text of many lines

_NAMES = {
    str(MESSAGE): "message",
    str(CHAT): "chat",
    str(CLIENT): "client",
    str(SINCE): "since",
    TEXT: "text",
    LONG_TEXT: "text",
    LABEL: "label",
    BODY: "body",
    REASONING: "reasoning",
    REASONING_TITLE: "reasoning_title",
    FACTS: "facts",
    NOW: "now",
    TITLE: "title",
}
_MARK = re.compile("|".join(map(re.escape, _NAMES)))


class Skeleton:
    """`html` has marks. Values are never searched for marks."""

    def __init__(self, html: str) -> None:
        self._texts = _MARK.split(html)
        self._names = [_NAMES[mark] for mark in _MARK.findall(html)]

    def fill(self, **values: str) -> str:
        """Returns the HTML with these values, which are safe HTML, in place of the marks of their names."""
        pieces = [self._texts[0]]
        for name, text in zip(self._names, self._texts[1:], strict=True):
            pieces += (values[name], text)
        return "".join(pieces)
