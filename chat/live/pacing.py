"""In which pieces a viewer gets to see a reply grow: as it comes, or by words, sentences and lines. Only when
is chosen, never what: snapshots and ends are whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from chat.live.buffering import buffer_for
from chat.live.reply_log import Segment, joined

MUCH_TEXT = 8 * 1024  # characters that came at once: nobody reads them word by word, so they go at once
LONGEST_HOLD = 0.3  # seconds; the feed's frames come on top, 0.1 s apart at most

# What a person may prefer, by the strategy of buffering. Those that hide what is not finished do it in the
# page: they need no more than a sign of growth.
STYLES: Final = {
    "instant": "none",
    "words": "word",
    "sentences": "sentence",
    "lines": "line",
    "calm": "time",
    "paragraphs": "time",
    "whole": "time",
}


class Pacer:
    """Holds back the text of one reply for one viewer. Times are of one monotonic clock, in seconds."""

    def __init__(self, style: str) -> None:
        self._buffer = buffer_for(STYLES.get(style, "none"))
        self._begun = False
        self.due: float | None = None  # when what is held must go

    def release(self, segments: Iterable[Segment], now: float) -> list[Segment]:
        """Takes what is new, gives what may be shown. The first words go at once, and all text before output
        of another kind."""
        released: list[Segment] = []
        for kind, text in segments:
            if kind != "text" or len(text) > MUCH_TEXT:
                released += [*self._flushed(), Segment(kind, text)]
                continue
            pieces = self._buffer.feed(text)
            if pieces or self.due is None:
                self.due = now + LONGEST_HOLD
            if pieces:
                released.append(Segment("text", "".join(pieces)))
            if not self._begun:
                released += self._flushed()
                self._begun = True
        if self.due is not None and now >= self.due:
            released += self._flushed()
        return joined(released) if len(released) > 1 else released

    def _flushed(self) -> list[Segment]:
        self.due = None
        return [Segment("text", piece) for piece in self._buffer.flush()]
