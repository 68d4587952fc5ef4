"""Caches the HTML of finished replies. Opening a conversation again costs its templates and no Markdown. The
text itself is the key, so no entry can be out of date."""

from __future__ import annotations

from collections import OrderedDict
from sys import getsizeof
from threading import Lock

from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

from chat.rendering.citations import render_cited
from chat.rendering.colours import missing_colours, report_missing
from chat.sources import Mark

type _Key = tuple[str | None, str, str, tuple[Mark, ...]]


class RenderCache:
    """Rendered texts by (language, text, prefix of ids, marks), least recently used first out, up to `size`
    bytes in all. Thread-safe."""

    def __init__(self, size: int) -> None:
        self._size, self._used = size, 0
        self._kept: OrderedDict[_Key, SafeString] = OrderedDict()
        self._lock = Lock()

    def html(self, text: str, id_prefix: str, marks: tuple[Mark, ...] = ()) -> SafeString:
        """Returns the result of `render_cited`. It is not cached while colours are missing."""
        key = (get_language(), text, id_prefix, marks)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with missing_colours() as pending:
            html = mark_safe(render_cited(text, marks, id_prefix=id_prefix))  # noqa: S308 - sanitised, or ours
        if pending:
            report_missing(pending)
            return html
        with self._lock:
            if key not in self._kept:
                self._kept[key] = html
                self._used += getsizeof(text) + getsizeof(html)
            while self._used > self._size:
                (_, old, *_), dropped = self._kept.popitem(last=False)
                self._used -= getsizeof(old) + getsizeof(dropped)
        return html


render_cache = RenderCache(32 * 1024 * 1024)
