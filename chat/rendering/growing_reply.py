"""A growing reply, rendered once for all viewers in this process with the same language and style.

Each viewer passes the output that is new to it. The first one with new output renders it, and the others get
the same texts. So a viewer may get slightly more than it asked for, and nothing twice. Not thread-safe: the
caller holds the conversation's lock (`transports.feed`).
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple
from uuid import UUID
from weakref import WeakValueDictionary

from django.utils.translation import get_language

from chat.live.reply_log import CARDS, Segment
from chat.models import Message
from chat.rendering import dom, fragments
from chat.rendering.colours import PendingColours
from chat.rendering.growing_body import GrowingBody

LONGEST_TEXT = 256 * 1024  # characters of a text with several patches; a WebSocket frame may have 1 MiB
MOST_TEXTS = 16  # kept for slow viewers, one frame each; slower viewers get the whole reply in one

type Key = tuple[UUID, UUID, str | None, str]


def growing_reply(message: Message, style: str) -> GrowingReply:
    """Returns the shared renderer of this running reply in the active language."""
    assert message.reply is not None
    key: Key = message.pk, message.reply.pk, get_language(), style
    if (found := _SHARED.get(key)) is None or found.broken or found.ended:
        found = _SHARED[key] = GrowingReply(message)
    return found


class _Ended(NamedTuple):
    revision: int
    article: str  # without the body


class GrowingReply:
    """`count` is the number of texts made so far. A viewer remembers it and asks for the texts `since`
    then."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.body = GrowingBody(message)
        self.reasoning = ""
        self.count = 0
        self.broken = False
        self.ended: _Ended | None = None
        self._added = 0  # characters of output
        self._texts: deque[str] = deque(maxlen=MOST_TEXTS)

    def add(self, position: int, segments: list[Segment]) -> None:
        """Adds output from `position` on, in characters. Known characters are skipped."""
        if self.ended:
            return
        pieces: list[Segment] = []
        for kind, text in segments:
            if new := text[max(0, self._added - position) :]:
                pieces.append(Segment(kind, new))
            position += len(text)
        if pieces:
            self._added = position
            self._store(self._grow(pieces))

    def finish(self, message: Message) -> bool:
        """Adds the last texts. Returns false if the stored text does not begin with the shown text (some
        shown text was never committed), or if the reply has cards or cites pages. Then the message is sent
        whole."""
        if self.ended is None:
            if self.body.has_cards or message.has_steps:
                return False
            shown = self.body.text.source
            if not message.text.startswith(shown) or not message.reasoning.startswith(self.reasoning):
                return False
            with _BrokenOnError(self):
                self.body.text.feed(message.text[len(shown) :])
                self._store(self.body.finish())
        if self.ended is None or self.ended.revision != message.revision:
            article = fragments.message(message, body="", reasoning=message.reasoning)
            self.ended = _Ended(message.revision, article)
        return True

    def recolour(self) -> None:
        """Adds colours that became available after the end."""
        self._store(self.body.patches())

    @property
    def uncoloured(self) -> list[PendingColours]:
        return self.body.uncoloured

    def since(self, count: int) -> list[str]:
        """Returns the texts after the first `count`, to be swapped one after the other."""
        missing = self.count - count
        if missing <= len(self._texts):
            return list(self._texts)[len(self._texts) - missing :] if missing else []
        body = fragments.partial(f"#{dom.body(self.message.pk)}", "innerMorph", self.body.snapshot())
        if self.reasoning:
            has_text = not self.body.is_empty
            body = fragments.reasoning_started(self.message, self.reasoning, ended=has_text) + body
        return [body]

    def _store(self, pieces: list[str]) -> None:
        texts: list[str] = []
        for piece in filter(None, pieces):
            if texts and len(texts[-1]) + len(piece) <= LONGEST_TEXT:
                texts[-1] += piece
            else:
                texts.append(piece)
        self._texts += texts
        self.count += len(texts)

    def _grow(self, segments: list[Segment]) -> list[str]:
        if len(segments) == 1 and segments[0].kind == "text" and self._is_text_only:
            with _BrokenOnError(self):
                return self.body.feed_text(segments[0].text)
        out: list[str] = []
        if self.body.has_cards or any(kind in CARDS for kind, _text in segments):
            return self._grow_with_cards(segments)
        reasoning, text = fragments.text_of(segments, "reasoning"), fragments.text_of(segments, "text")
        has_text = text != "" and self.body.is_empty
        if reasoning and not self.reasoning:
            ended = has_text or not self.body.is_empty  # some models reason after their first words
            out.append(fragments.reasoning_started(self.message, reasoning, ended=ended))
        else:
            if reasoning:
                out.append(fragments.reasoning_grew(self.message.pk, reasoning))
            if has_text and self.reasoning:
                out.append(fragments.reasoning_ended(self.message))
        self.reasoning += reasoning
        if text:
            with _BrokenOnError(self):
                out += self.body.feed_text(text)
        return out

    @property
    def _is_text_only(self) -> bool:
        return not (self.body.has_cards or (self.reasoning and self.body.is_empty))

    def _grow_with_cards(self, segments: list[Segment]) -> list[str]:
        """Adds output in its order. Reasoning before the first card stands above the body."""
        first = next((n for n, segment in enumerate(segments) if segment.kind in CARDS), len(segments))
        before = [] if self.body.has_cards else segments[:first]
        out = self._grow(before) if before else []
        if self.reasoning and self.body.is_empty:
            out.append(fragments.reasoning_ended(self.message))
        with _BrokenOnError(self):
            out += self.body.feed(segments[len(before) :])
        return out


class _BrokenOnError:
    """After an error in the block, no new viewer gets this renderer."""

    def __init__(self, growing: GrowingReply) -> None:
        self.growing = growing

    def __enter__(self) -> None:
        self.growing.broken = True

    def __exit__(self, kind: object, *_: object) -> None:
        self.growing.broken = kind is not None


_SHARED: WeakValueDictionary[Key, GrowingReply] = WeakValueDictionary()
