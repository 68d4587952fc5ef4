"""How a growing reply is shown to one viewer: at once, or by words, sentences or lines. The style decides
when text is shown and never which: snapshots and finished replies are whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from chat.live.buffering import buffer_for
from chat.live.reply_log import Segment, joined

# A longer text that arrives at once is not held back: nobody reads it word by word.
LONG_TEXT_CHARS = 8 * 1024
MOST_HOLD_SECONDS = 0.3  # the interval of frames, at most 0.1 s, is added to it

# The strategy of buffering for each style that people can choose. Styles that hide unfinished text do so in
# the page, and need only a sign of growth.
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
        self.due: float | None = None  # when the held text must be sent

    def release(self, segments: Iterable[Segment], now: float) -> list[Segment]:
        """Takes new output, and returns the output that may be shown. Sends the first words at once, and all
        held text before output of another kind."""
        released: list[Segment] = []
        for kind, text in segments:
            if kind != "text" or len(text) > LONG_TEXT_CHARS:
                released += [*self._flushed(), Segment(kind, text)]
                continue
            pieces = self._buffer.feed(text)
            if pieces or self.due is None:
                self.due = now + MOST_HOLD_SECONDS
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
