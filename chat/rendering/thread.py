"""One viewer's page, kept up to date: live changes in, the smallest HTML out.

A message that the viewer saw growing is finished in place (its remaining patches, then the article's
frame without its body); every other changed message is sent whole. Holds one renderer for each reply
that runs, none for the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from chat.live.changes import Change, ReplyGrew, ReplyWaits, ThreadChanged
from chat.live.reply_log import Segment
from chat.models import Message
from chat.rendering import dom, fragments
from chat.rendering.code import may_hold_code
from chat.rendering.incremental import IncrementalRenderer, Patch

STEP = 256 * 1024  # characters; a socket's frame may have a mebibyte
LIGHT = 8 * 1024  # characters that are rendered in a few ms


class ThreadView:
    def __init__(self) -> None:
        self._growing: dict[UUID, _Growing] = {}

    def takes_long(self, changes: Iterable[Change]) -> bool:
        """Whether `render` belongs beside the event loop: much text, or code to colour."""
        weight = 0
        for change in changes:
            match change:
                case ThreadChanged():
                    pieces = [piece for output in change.outputs.values() for piece in output]
                    texts = [
                        *(message.text for message in change.messages),
                        *(piece.text for piece in pieces),
                    ]
                    if any(map(may_hold_code, texts)):
                        return True
                    weight += sum(map(len, texts)) + sum(
                        len(message.reasoning) for message in change.messages
                    )
                case ReplyGrew(message_id, segments):
                    text = fragments.text_of(segments, "text")
                    if text and self._growing[message_id].renderer.takes_long(text):
                        return True
                    weight += sum(len(segment.text) for segment in segments)
        return weight > LIGHT

    def render(self, changes: Iterable[Change]) -> list[str]:
        """The steps that bring the page from the last call's state to this one; none if nothing shows, and
        one unless it is very long.

        htmx finds the targets of all partials of a text before it swaps the first. So none of a call's
        may lie inside of what another one brings."""
        steps = _Steps()
        for change in changes:
            match change:
                case ThreadChanged():
                    self._thread_changed(change, steps)
                case ReplyGrew(message_id, segments):
                    self._growing[message_id].grow(segments, steps)
                case ReplyWaits(message_id, waiting):
                    steps.add(fragments.reply_waits(message_id, waiting))
        return steps.texts

    def _thread_changed(self, change: ThreadChanged, steps: _Steps) -> None:
        if change.whole:
            self._growing.clear()
            swap = "innerHTML"
            for articles in _joined(self._article(message, change) for message in change.messages):
                steps.add(fragments.partial(f"#{dom.THREAD}", swap, articles))
                swap = "append"
            steps.add(fragments.earlier(change.conversation, change.messages))
        else:
            for message in change.messages:
                self._message(message, change, steps)
        running = min((growing.message for growing in self._growing.values()), key=_place, default=None)
        marked = change.conversation.sent_from
        drops = not change.whole and any(message.position == marked for message in change.messages)
        steps.add(fragments.conversation_state(change.conversation, running, drops=drops))

    def _message(self, message: Message, change: ThreadChanged, steps: _Steps) -> None:
        growing = None if message.is_live else self._growing.pop(message.pk, None)
        if growing and growing.finish(message, steps):
            return
        if message.added_version > change.since:
            steps.add(fragments.partial(f"#{dom.THREAD}", "append", self._article(message, change)))
        elif message.is_live:
            article = self._article(message, change)
            steps.add(fragments.partial(f"#{dom.message(message.pk)}", "outerHTML", article))
        else:
            steps.add(fragments.message_in_place(message))

    def _article(self, message: Message, change: ThreadChanged) -> str:
        if not message.is_live:
            return fragments.message(message)
        growing = self._growing[message.pk] = _Growing(message)
        growing.grow(change.outputs.get(message.pk, []), _Steps())
        return fragments.message(message, body=growing.renderer.snapshot(), reasoning=growing.reasoning)


class _Growing:
    """A reply that this viewer sees growing."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.renderer = IncrementalRenderer(id_prefix=dom.footnotes(message.pk))
        self.reasoning = ""

    def grow(self, segments: list[Segment], steps: _Steps) -> None:
        reasoning, text = fragments.text_of(segments, "reasoning"), fragments.text_of(segments, "text")
        answers = text != "" and not self.renderer.source
        if reasoning and not self.reasoning:
            steps.add(fragments.reasoning_started(self.message, reasoning, ended=answers))
        else:
            if reasoning:
                steps.add(fragments.reasoning_grew(self.message.pk, reasoning))
            if answers and self.reasoning:
                steps.add(fragments.reasoning_ended(self.message))
        self.reasoning += reasoning
        if text:
            self.renderer.feed(text)
            self._patch(self.renderer.patches(), steps)

    def finish(self, message: Message, steps: _Steps) -> bool:
        """The last patches, and the article without its body; false if the stored text is not what was
        shown so far and more (the viewer had seen what was never committed): then it is sent whole."""
        shown = self.renderer.source
        if not message.text.startswith(shown) or not message.reasoning.startswith(self.reasoning):
            return False
        self.renderer.feed(message.text[len(shown) :])
        self._patch(self.renderer.finish(), steps)
        article = fragments.message(message, body="", reasoning=message.reasoning)
        steps.add(fragments.partial(f"#{dom.message(message.pk)}", "outerMorph", article))
        return True

    def _patch(self, patches: list[Patch], steps: _Steps) -> None:
        body = f"#{dom.body(self.message.pk)}"
        for patch in patches:
            target = f"{body} {patch.path}" if patch.path else body
            steps.add(fragments.partial(target, patch.swap, patch.html))


class _Steps:
    """Texts to be swapped one after the other, as few as may be."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, html: str) -> None:
        if self.texts and len(self.texts[-1]) + len(html) <= STEP:
            self.texts[-1] += html
        else:
            self.texts.append(html)


def _joined(articles: Iterable[str]) -> list[str]:
    """The articles in as few texts as may be; one, if empty, for an empty thread."""
    texts = [""]
    for article in articles:
        if texts[-1] and len(texts[-1]) + len(article) > STEP:
            texts.append("")
        texts[-1] += article
    return texts


def _place(message: Message) -> int:
    return message.position
