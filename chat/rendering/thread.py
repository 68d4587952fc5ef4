"""One viewer's page, kept up to date: live changes in, the smallest HTML out.

A message that the viewer saw growing is finished in place (its remaining patches, then the article's
frame without its body); every other changed message is sent whole. Holds one renderer for each reply
that runs, none for the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from chat.live.changes import Change, ReplyGrew, ThreadChanged
from chat.live.reply_log import Segment
from chat.models import Message
from chat.rendering import dom, fragments
from chat.rendering.incremental import IncrementalRenderer, Patch


class ThreadView:
    def __init__(self) -> None:
        self._growing: dict[UUID, _Growing] = {}

    def render(self, changes: Iterable[Change]) -> str:
        """The partials that bring the page from the last call's state to this one; "" if nothing shows."""
        html: list[str] = []
        for change in changes:
            match change:
                case ThreadChanged():
                    html += self._thread_changed(change)
                case ReplyGrew(message_id, segments):
                    html += self._growing[message_id].grow(segments)
        return "".join(html)

    def _thread_changed(self, change: ThreadChanged) -> list[str]:
        if change.whole:
            self._growing.clear()
            articles = "".join(self._article(message, change) for message in change.messages)
            html = [fragments.partial(f"#{dom.THREAD}", "innerHTML", articles)]
        else:
            html = [self._message(message, change) for message in change.messages]
        running = next((m for m in reversed(change.messages) if _is_live(m)), None)
        if running is None and self._growing:
            running = next(reversed(self._growing.values())).message
        return [*html, fragments.conversation_state(change.conversation, running)]

    def _message(self, message: Message, change: ThreadChanged) -> str:
        growing = None if _is_live(message) else self._growing.pop(message.pk, None)
        finish = growing.finish(message) if growing else None
        if finish is not None:
            return finish
        article = self._article(message, change)
        if message.added_version > change.since:
            return fragments.partial(f"#{dom.THREAD}", "append", article)
        return fragments.partial(f"#{dom.message(message.pk)}", "outerHTML", article)

    def _article(self, message: Message, change: ThreadChanged) -> str:
        if not _is_live(message):
            return fragments.message(message)
        growing = self._growing[message.pk] = _Growing(message)
        growing.grow(change.outputs.get(message.pk, []))
        return fragments.message(message, body=growing.renderer.snapshot(), reasoning=growing.reasoning)


class _Growing:
    """A reply that this viewer sees growing."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.renderer = IncrementalRenderer()
        self.reasoning = ""

    def grow(self, segments: list[Segment]) -> list[str]:
        html = []
        if reasoning := fragments.text_of(segments, "reasoning"):
            if not self.reasoning:
                html.append(fragments.reasoning_started(self.message.pk))
            self.reasoning += reasoning
            html.append(fragments.reasoning_grew(self.message.pk, reasoning))
        if text := fragments.text_of(segments, "text"):
            self.renderer.feed(text)
            html += self._patches(self.renderer.patches())
        return html

    def finish(self, message: Message) -> str | None:
        """The last patches, and the article without its body; None if the stored text is not what was
        shown so far and more (the viewer had seen what was never committed): then it is sent whole."""
        shown = self.renderer.source
        if not message.text.startswith(shown) or not message.reasoning.startswith(self.reasoning):
            return None
        missing = message.reasoning[len(self.reasoning) :]
        html = self.grow([Segment("reasoning", missing), Segment("text", message.text[len(shown) :])])
        html += self._patches(self.renderer.finish())
        article = fragments.message(message, body="", reasoning=message.reasoning)
        html.append(fragments.partial(f"#{dom.message(message.pk)}", "outerMorph", article))
        return "".join(html)

    def _patches(self, patches: list[Patch]) -> list[str]:
        body = f"#{dom.body(self.message.pk)}"
        return [
            fragments.partial(f"{body} {patch.path}" if patch.path else body, patch.swap, patch.html)
            for patch in patches
        ]


def _is_live(message: Message) -> bool:
    generation = getattr(message, "generation", None)
    return generation is not None and generation.is_live
