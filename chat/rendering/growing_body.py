"""The body of a growing reply: its text, then the cards of tool calls and searches, and the texts between
them."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any
from uuid import UUID

import orjson

from chat.live.reply_log import TOOL_CALL, WEB_SEARCH, Segment
from chat.models import Message
from chat.rendering import dom, fragments
from chat.rendering.colours import PendingColours
from chat.rendering.incremental import IncrementalRenderer, Patch
from chat.rendering.tool_cards import (
    Card,
    SearchCard,
    card_html,
    reasoning_html,
    search_html,
    section_html,
)


class GrowingBody:
    """`text` renders the text that may grow: that of the body itself until the first card, then the last one.
    What the reply cites is shown at its end."""

    def __init__(self, message: Message) -> None:
        self._message = message
        self._items: list[_Item] = [_Text(message.pk, 0)]
        self._cards: dict[int, Card] = {}
        self._searches: dict[str, SearchCard] = {}
        self._lines = {TOOL_CALL: "", WEB_SEARCH: ""}  # unfinished: output may end inside of a line

    @property
    def has_cards(self) -> bool:
        return bool(self._cards or self._searches)

    @property
    def is_empty(self) -> bool:
        return not self.has_cards and self.text.is_empty

    @property
    def text(self) -> IncrementalRenderer:
        last = self._items[-1]
        return last.renderer if isinstance(last, _Text) else self._last_text().renderer

    @property
    def uncoloured(self) -> list[PendingColours]:
        return [each for text in self._texts() for each in text.renderer.uncoloured]

    def snapshot(self) -> str:
        """Returns the whole body as it is shown."""
        return "".join(map(self._html, self._items))

    def feed_text(self, text: str) -> list[str]:
        """Adds text to a reply without cards. Returns the partials that show it."""
        self.text.feed(text)
        return self._patched(self._last_text(), self.text.patches())

    def finish(self) -> list[str]:
        return self._patched(self._last_text(), self.text.finish())

    def patches(self) -> list[str]:
        """Returns the partials of what changed without new text, such as colours."""
        return [piece for text in self._texts() for piece in self._patched(text, text.renderer.patches())]

    def feed(self, segments: Iterable[Segment]) -> list[str]:
        """Adds output with cards. Returns the partials that show it. One of them has all new elements,
        because no partial may have its target inside of another one."""
        old = len(self._items)
        out: list[str] = []
        changed: list[Card | SearchCard] = []
        for kind, text in segments:
            if kind in self._lines:
                changed += self._add_lines(kind, text)
                continue
            last = self._items[-1]
            if kind == "text":
                if not isinstance(last, _Text):
                    self._items.append(last := _Text(self._message.pk, len(self._items)))
                last.renderer.feed(text)
            elif kind == "reasoning":
                if isinstance(last, _Reasoning):
                    last.text += text
                    if last.number < old:
                        target = f"#{dom.section(self._message.pk, last.number)}"
                        out.append(fragments.partial(target, "append", escape(text)))
                else:
                    self._items.append(_Reasoning(len(self._items), text))
        for item in self._texts():
            # One set of patches for each text: the targets of a second one may be in the first.
            patches = item.patches(is_last=item is self._items[-1])
            if item.number < old:
                out += self._patched(item, patches)
        for card in {id(card): card for card in changed}.values():
            if any(card is item for item in self._items[:old]):
                name = dom.tool_call if isinstance(card, Card) else dom.web_search
                target = f"#{name(self._message.pk, card.number)}"
                out.append(fragments.partial(target, "outerHTML", self._html(card)))
        if new := "".join(map(self._html, self._items[old:])):
            out.append(fragments.partial(f"#{dom.body(self._message.pk)}", "append", new))
        return out

    def _add_lines(self, kind: str, text: str) -> list[Card | SearchCard]:
        """Adds lines of tool calls or of searches. Returns the changed cards."""
        *lines, self._lines[kind] = (self._lines[kind] + text).split("\n")
        add = self._add_call if kind == TOOL_CALL else self._add_search
        return [add(line) for line in map(orjson.loads, lines)]

    def _add_call(self, line: dict[str, Any]) -> Card:
        card = self._cards.get(line["index"])
        if card is None:
            card = self._cards[line["index"]] = Card(line["index"], "")
            self._items.append(card)
        card.update(line)
        return card

    def _add_search(self, line: dict[str, Any]) -> SearchCard:
        card = self._searches.get(line["id"])
        if card is None:
            card = self._searches[line["id"]] = SearchCard(len(self._searches), "", "")
            self._items.append(card)
        card.query, card.state, card.engine = line["query"], line["state"], line.get("engine", "")
        return card

    def _html(self, item: _Item) -> str:
        match item:
            case Card():
                return card_html(self._message, item)
            case SearchCard():
                return search_html(self._message, item)
            case _Reasoning(number=number, text=text):
                return reasoning_html(self._message, number, text)
            case _Text(number=0):
                return item.renderer.snapshot()
        return section_html(self._message, item.number, item.renderer.snapshot())

    def _patched(self, text: _Text, patches: list[Patch]) -> list[str]:
        return [
            fragments.partial(
                f"{text.target} {patch.path}" if patch.path else text.target, patch.swap, patch.html
            )
            for patch in patches
        ]

    def _texts(self) -> list[_Text]:
        return [item for item in self._items if isinstance(item, _Text)]

    def _last_text(self) -> _Text:
        return next(item for item in reversed(self._items) if isinstance(item, _Text))


class _Text:
    def __init__(self, message_id: UUID, number: int) -> None:
        self.number = number
        self.target = f"#{dom.section(message_id, number) if number else dom.body(message_id)}"
        prefix = dom.footnotes(message_id)
        self.renderer = IncrementalRenderer(id_prefix=f"{prefix}-{number}" if number else prefix)
        self._has_ended = False

    def patches(self, *, is_last: bool) -> list[Patch]:
        """Returns the patches for what was fed. A text that is not the last item has ended."""
        if self._has_ended:
            return []
        self._has_ended = not is_last
        return self.renderer.patches() if is_last else self.renderer.finish()


class _Reasoning:
    def __init__(self, number: int, text: str) -> None:
        self.number, self.text = number, text


type _Item = _Text | _Reasoning | Card | SearchCard
