"""Keeps the page of one viewer up to date. Input: live changes. Output: the smallest HTML.

A message that grew in this page is finished in place (its remaining patches, then the article's frame without
its body). Every other changed message is sent whole. Running replies are rendered once for all viewers
(`growing_reply`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

from chat.live.changes import Change, ConversationChanged, ReplyGrew, ReplyWaits
from chat.live.reply_log import Segment
from chat.models import Message
from chat.models.message import side_by_side
from chat.rendering import dom, fragments
from chat.rendering.colours import PendingColours, missing_colours
from chat.rendering.growing_reply import LONGEST_TEXT, growing_reply

LIGHT = 8 * 1024  # characters that are rendered in a few ms
_PART = 200  # characters that take as long as a part: a card or a text has HTML of its own


class ConversationView:
    """`style` is that of `live.pacing`: viewers with the same style share the rendered texts."""

    def __init__(self, style: str = "none") -> None:
        self._style = style
        self._growing: dict[UUID, _ShownReply] = {}
        self._ended: list[_ShownReply] = []  # while their code lacks colours
        # Stored messages that are shown without all of their colours.
        self._plain: list[tuple[Message, list[PendingColours]]] = []

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
        """Returns the updates of the page from the state of the last call: none if nothing visible
        changed, usually one, and more for very long changes.

        htmx finds the targets of all partials of a text before it swaps the first. So no partial of a call
        may lie inside of another one's new content.
        """
        updates = _Updates()
        for change in changes:
            match change:
                case ConversationChanged():
                    self._conversation_changed(change, updates)
                case ReplyGrew(message_id, segments):
                    shown = self._growing[message_id]
                    shown.add(segments)
                    shown.show(updates)
                case ReplyWaits(message_id, waiting):
                    updates.add(fragments.reply_waits(message_id, waiting))
        return updates.texts

    @property
    def uncoloured(self) -> list[PendingColours]:
        """Returns the missing colours of finished messages; `recolour` shows them when they are available."""
        return [each for shown in self._ended for each in shown.growing.uncoloured] + [
            each for _, pending in self._plain for each in pending
        ]

    def recolour(self) -> list[str]:
        """Returns the updates that colour code which was shown plain."""
        updates = _Updates()
        plain, self._plain = self._plain, []
        for message, pending in plain:
            if any(each.done() and each.result() for each in pending):
                updates.add(self._stored(message, fragments.body_in_place))
            elif not all(each.done() for each in pending):
                self._plain.append((message, pending))
        for shown in self._ended:
            shown.growing.recolour()
            shown.show(updates)
        self._ended = [shown for shown in self._ended if shown.growing.uncoloured]
        return updates.texts

    def _conversation_changed(self, change: ConversationChanged, updates: _Updates) -> None:
        if change.whole:
            self._growing.clear()
            self._ended.clear()
            self._plain.clear()
            swap = "innerHTML"
            groups = side_by_side(change.messages)
            for articles in _joined(self._group(group, change) for group in groups):
                updates.add(fragments.partial(f"#{dom.MESSAGES}", swap, articles))
                swap = "append"
            updates.add(fragments.earlier(change.conversation, change.messages))
        else:
            for group in side_by_side(change.messages):
                self._changed(group, change, updates)
        running = min((shown.growing.message for shown in self._growing.values()), key=_place, default=None)
        marked = change.conversation.sent_from
        is_shortened = not change.whole and any(message.position == marked for message in change.messages)
        needs_approval = any(
            message.reply and message.reply.status == "waiting" for message in change.messages
        )
        updates.add(
            fragments.conversation_state(
                change.conversation, running, is_shortened=is_shortened, needs_approval=needs_approval
            )
        )

    def _changed(self, group: list[Message], change: ConversationChanged, updates: _Updates) -> None:
        """Replies side by side are added together; each is changed alone."""
        if len(group) > 1 and all(message.added_revision > change.since for message in group):
            updates.add(fragments.partial(f"#{dom.MESSAGES}", "append", self._group(group, change)))
        else:
            for message in group:
                self._message(message, change, updates)

    def _group(self, group: list[Message], change: ConversationChanged) -> str:
        articles = "".join(self._article(message, change) for message in group)
        return fragments.comparison(group, articles) if len(group) > 1 else articles

    def _message(self, message: Message, change: ConversationChanged, updates: _Updates) -> None:
        shown = None if message.is_growing else self._growing.pop(message.pk, None)
        if shown and shown.growing.finish(message) and shown.growing.ended:
            shown.show(updates)
            article = shown.growing.ended.article
            updates.add(fragments.partial(f"#{dom.message(message.pk)}", "outerMorph", article))
            if shown.growing.uncoloured:
                self._ended.append(shown)
            return
        if message.added_revision > change.since:
            updates.add(fragments.partial(f"#{dom.MESSAGES}", "append", self._article(message, change)))
        elif message.is_growing:
            article = self._article(message, change)
            updates.add(fragments.partial(f"#{dom.message(message.pk)}", "outerHTML", article))
        else:
            updates.add(self._stored(message, fragments.message_in_place))

    def _article(self, message: Message, change: ConversationChanged) -> str:
        if not message.is_growing:
            return self._stored(message, fragments.message)
        shown = _ShownReply(message, change.outputs.get(message.pk, []), self._style)
        self._growing[message.pk] = shown
        growing = shown.growing
        return fragments.message(message, body=growing.body.snapshot(), reasoning=growing.reasoning)

    def _stored(self, message: Message, as_html: Callable[[Message], str]) -> str:
        with missing_colours() as pending:
            html = as_html(message)
        if pending:
            self._plain.append((message, pending))
        return html


class _ShownReply:
    """The part of a growing reply that this viewer has."""

    def __init__(self, message: Message, output: list[Segment], style: str) -> None:
        self.growing = growing_reply(message, style)
        self.added = 0  # characters of output that were sent to this viewer
        self.add(output)
        self.count = self.growing.count

    def add(self, segments: list[Segment]) -> None:
        self.growing.add(self.added, segments)
        self.added += sum(len(segment.text) for segment in segments)

    def show(self, updates: _Updates) -> None:
        """Adds the texts that the viewer does not have yet. Each text is an update of its own, because it
        addresses the page as the one before it left it."""
        first, *others = self.growing.since(self.count) or [""]
        updates.add(first)
        updates.texts += others
        self.count = self.growing.count


class _Updates:
    """Texts to be swapped one after the other, as few as possible."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, html: str) -> None:
        if not html:
            return
        if self.texts and len(self.texts[-1]) + len(html) <= LONGEST_TEXT:
            self.texts[-1] += html
        else:
            self.texts.append(html)


def _joined(articles: Iterable[str]) -> list[str]:
    """Joins the articles into as few texts as possible; one empty text for an empty conversation."""
    texts = [""]
    for article in articles:
        if texts[-1] and len(texts[-1]) + len(article) > LONGEST_TEXT:
            texts.append("")
        texts[-1] += article
    return texts


def _place(message: Message) -> int:
    return message.position
