"""Keeps the page of one viewer up to date. Input: live changes. Output: the smallest HTML.

A message that grew in this page is finished in place (its remaining patches, then the article's frame without
its body). Every other changed message is sent whole. Running replies are rendered once for all viewers
(`growing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

from chat.live.changes import Change, ConversationChanged, ReplyGrew, ReplyWaits
from chat.live.reply_log import Segment
from chat.models import Message
from chat.models.message import side_by_side
from chat.rendering import dom, fragments
from chat.rendering.colours import Answer, missing
from chat.rendering.growing import STEP, growing

LIGHT = 8 * 1024  # characters that are rendered in a few ms
_PART = 200  # characters that take as long as a part: a card or a text has HTML of its own


class ConversationView:
    """`style` is that of `live.pacing`: viewers with the same style share the rendered texts."""

    def __init__(self, style: str = "none") -> None:
        self._style = style
        self._growing: dict[UUID, _Seen] = {}
        self._ended: list[_Seen] = []  # while their code lacks colours
        self._plain: list[tuple[Message, list[Answer]]] = []  # stored messages, with their missing colours

    def takes_long(self, changes: Iterable[Change]) -> bool:
        """Returns whether `render` must run off the event loop, because of much text."""
        weight = 0
        for change in changes:
            match change:
                case ConversationChanged():
                    pieces = [piece for output in change.outputs.values() for piece in output]
                    texts = [
                        *(message.text for message in change.messages),
                        *(piece.text for piece in pieces),
                    ]
                    weight += sum(map(len, texts)) + sum(
                        len(message.reasoning) + _PART * len(message.parts) for message in change.messages
                    )
                case ReplyGrew(message_id, segments):
                    length = sum([len(segment.text) for segment in segments])
                    if self._growing[message_id].growing.body.text.takes_long(length):
                        return True
                    weight += length
        return weight > LIGHT

    def render(self, changes: Iterable[Change]) -> list[str]:
        """Returns the steps that update the page from the state of the last call: none if nothing visible
        changed, usually one, and more for very long changes.

        htmx finds the targets of all partials of a text before it swaps the first. So no partial of a call
        may lie inside of another one's new content.
        """
        steps = _Steps()
        for change in changes:
            match change:
                case ConversationChanged():
                    self._conversation_changed(change, steps)
                case ReplyGrew(message_id, segments):
                    seen = self._growing[message_id]
                    seen.take(segments)
                    seen.show(steps)
                case ReplyWaits(message_id, waiting):
                    steps.add(fragments.reply_waits(message_id, waiting))
        return steps.texts

    @property
    def uncoloured(self) -> list[Answer]:
        """Returns the missing colours of finished messages; `recolour` shows them when they are available."""
        return [answer for seen in self._ended for answer in seen.growing.uncoloured] + [
            answer for _, answers in self._plain for answer in answers
        ]

    def recolour(self) -> list[str]:
        """Returns the steps that colour code which was shown plain."""
        steps = _Steps()
        plain, self._plain = self._plain, []
        for message, answers in plain:
            if any(answer.done() and answer.result() for answer in answers):
                steps.add(self._stored(message, fragments.body_in_place))
            elif not all(answer.done() for answer in answers):
                self._plain.append((message, answers))
        for seen in self._ended:
            seen.growing.recolour()
            seen.show(steps)
        self._ended = [seen for seen in self._ended if seen.growing.uncoloured]
        return steps.texts

    def _conversation_changed(self, change: ConversationChanged, steps: _Steps) -> None:
        if change.whole:
            self._growing.clear()
            self._ended.clear()
            self._plain.clear()
            swap = "innerHTML"
            groups = side_by_side(change.messages)
            for articles in _joined(self._group(group, change) for group in groups):
                steps.add(fragments.partial(f"#{dom.MESSAGES}", swap, articles))
                swap = "append"
            steps.add(fragments.earlier(change.conversation, change.messages))
        else:
            for group in side_by_side(change.messages):
                self._changed(group, change, steps)
        running = min((seen.growing.message for seen in self._growing.values()), key=_place, default=None)
        marked = change.conversation.sent_from
        drops = not change.whole and any(message.position == marked for message in change.messages)
        asks = any(message.reply and message.reply.status == "waiting" for message in change.messages)
        steps.add(fragments.conversation_state(change.conversation, running, drops=drops, asks=asks))

    def _changed(self, group: list[Message], change: ConversationChanged, steps: _Steps) -> None:
        """Replies side by side are added together; each is changed alone."""
        if len(group) > 1 and all(message.added_revision > change.since for message in group):
            steps.add(fragments.partial(f"#{dom.MESSAGES}", "append", self._group(group, change)))
        else:
            for message in group:
                self._message(message, change, steps)

    def _group(self, group: list[Message], change: ConversationChanged) -> str:
        articles = "".join(self._article(message, change) for message in group)
        return fragments.comparison(group, articles) if len(group) > 1 else articles

    def _message(self, message: Message, change: ConversationChanged, steps: _Steps) -> None:
        seen = None if message.is_growing else self._growing.pop(message.pk, None)
        if seen and seen.growing.finish(message) and seen.growing.ended:
            seen.show(steps)
            article = seen.growing.ended.article
            steps.add(fragments.partial(f"#{dom.message(message.pk)}", "outerMorph", article))
            if seen.growing.uncoloured:
                self._ended.append(seen)
            return
        if message.added_revision > change.since:
            steps.add(fragments.partial(f"#{dom.MESSAGES}", "append", self._article(message, change)))
        elif message.is_growing:
            article = self._article(message, change)
            steps.add(fragments.partial(f"#{dom.message(message.pk)}", "outerHTML", article))
        else:
            steps.add(self._stored(message, fragments.message_in_place))

    def _article(self, message: Message, change: ConversationChanged) -> str:
        if not message.is_growing:
            return self._stored(message, fragments.message)
        seen = _Seen(message, change.outputs.get(message.pk, []), self._style)
        self._growing[message.pk] = seen
        growing = seen.growing
        return fragments.message(message, body=growing.body.snapshot(), reasoning=growing.reasoning)

    def _stored(self, message: Message, as_html: Callable[[Message], str]) -> str:
        with missing() as answers:
            html = as_html(message)
        if answers:
            self._plain.append((message, answers))
        return html


class _Seen:
    """The part of a growing reply that this viewer has."""

    def __init__(self, message: Message, output: list[Segment], style: str) -> None:
        self.growing = growing(message, style)
        self.taken = 0  # characters of output that were sent to this viewer
        self.take(output)
        self.count = self.growing.count

    def take(self, segments: list[Segment]) -> None:
        self.growing.take(self.taken, segments)
        self.taken += sum(len(segment.text) for segment in segments)

    def show(self, steps: _Steps) -> None:
        """Adds the texts that the viewer does not have yet. Each text is a step of its own, because it
        addresses the page as the one before it left it."""
        first, *others = self.growing.since(self.count) or [""]
        steps.add(first)
        steps.texts += others
        self.count = self.growing.count


class _Steps:
    """Texts to be swapped one after the other, as few as possible."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, html: str) -> None:
        if not html:
            return
        if self.texts and len(self.texts[-1]) + len(html) <= STEP:
            self.texts[-1] += html
        else:
            self.texts.append(html)


def _joined(articles: Iterable[str]) -> list[str]:
    """Joins the articles into as few texts as possible; one empty text for an empty conversation."""
    texts = [""]
    for article in articles:
        if texts[-1] and len(texts[-1]) + len(article) > STEP:
            texts.append("")
        texts[-1] += article
    return texts


def _place(message: Message) -> int:
    return message.position
