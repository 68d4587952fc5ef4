"""Tool calls and the provider's searches in a reply, as cards between its texts, in their order.

The first text stands in the body itself. Each text after a call has an element of its own, so that patches of
one text never count the elements of another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import urlencode

from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext

from chat.models import Message, ToolCallState, ToolRun
from chat.parts import (
    Part,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
    WebSearch,
    loaded,
    with_joined_texts,
)
from chat.rendering import dom
from chat.rendering.render_cache import render_cache
from chat.sources import marks_of, marks_within
from chat.tools.registry import own_tools

MOST_SHOWN = 4_000  # characters of arguments on a card: they are sent again while they grow


@dataclass(slots=True)
class Card:
    """What a card shows. `run_id` is set for a call that waits for a decision. `state` is one of
    `ToolCallState`, or empty while the arguments arrive."""

    number: int
    name: str
    arguments: str = ""
    state: str = ""
    result: str = ""
    seconds: float | None = None
    run_id: int | None = None

    @property
    def title(self) -> str:
        tool = own_tools().get(self.name)
        return gettext(tool.title) if tool else self.name.replace("__", ": ")

    @property
    def shown_arguments(self) -> str:
        cut = len(self.arguments) > MOST_SHOWN
        return self.arguments[:MOST_SHOWN] + ("…" if cut else "")

    @property
    def words(self) -> str:
        known = self.state in ToolCallState.values  # a file of a later release may have others
        return str(ToolCallState(self.state).label) if known else ""

    def update(self, line: Mapping[str, Any]) -> None:
        """Applies a line of the log (`chat.live.tool_call_lines`)."""
        self.name += line["name"] or ""
        self.arguments += line["arguments"]
        self.state = line.get("state", self.state)
        self.result = line.get("result", self.result)
        self.seconds = line.get("seconds", self.seconds)


@dataclass(slots=True)
class SearchCard:
    """What a card shows of a web search. `state` and `engine` are those of a `WebSearch`; a search that the
    end of the reply cut off is `unknown`."""

    number: int
    query: str
    state: str
    engine: str = ""

    @property
    def url(self) -> str:
        """Returns the address of the same search if the provider requires a link to it, else ""."""
        known = self.engine == "google" and self.query
        return f"https://www.google.com/search?{urlencode({'q': self.query})}" if known else ""


def search_html(message: Message, card: SearchCard) -> str:
    return render_to_string("chat/_web_search.html", {"message": message, "card": card})


def card_html(message: Message, card: Card) -> str:
    return render_to_string("chat/_tool_call.html", {"message": message, "card": card})


def section_html(message: Message, number: int, html: str) -> str:
    """Returns the element of a text after a call. `html` is safe."""
    return f'<div class="section" id="{dom.section(message.pk, number)}">{html}</div>'


def reasoning_html(message: Message, number: int, text: str) -> str:
    """Returns folded reasoning after a call."""
    title, key = escape(gettext("Reasoning")), dom.section(message.pk, number)
    return (
        f'<details class="reasoning"><summary>{title}</summary>'
        f'<div class="reasoning-text" id="{key}">{escape(text)}</div></details>'
    )


def reply_body(message: Message, *, decides: bool = True) -> SafeString:
    """Returns the body of a stored reply. Without `decides` a call that waits has no buttons."""
    all_marks = marks_of(message.citations)
    if not message.has_cards:
        return render_cache.html(message.text, dom.footnotes(message.pk), all_marks)
    parts = _of_body(loaded(message.parts))
    cards = _cards(message, parts)
    html: list[str] = []
    searches = said = 0
    for number, part in enumerate(part for part in parts if not isinstance(part, ToolResult)):
        match part:
            case TextPart(text):
                prefix = dom.footnotes(message.pk) + (f"-{number}" if number else "")
                marks = marks_within(all_marks, said, said + len(text))
                said += len(text)
                section = render_cache.html(text, prefix, marks)
                html.append(section_html(message, number, section) if number else section)
            case ReasoningPart(text):
                html.append(reasoning_html(message, number, text))
            case WebSearch(query=query, state=state, engine=engine):
                state = "unknown" if state == "started" else state
                html.append(search_html(message, SearchCard(searches, query, state, engine)))
                searches += 1
            case ToolCall(id=call_id):
                card = cards[call_id]
                card.run_id = card.run_id if decides else None
                html.append(card_html(message, card))
    return mark_safe("".join(html))  # noqa: S308  (rendered, escaped, or our own)


def _of_body(parts: Iterable[Part]) -> list[Part]:
    """Returns the parts that the body shows; reasoning before the first card stands above it."""
    shown: list[Part] = []
    has_cards = False
    for part in parts:
        has_cards = has_cards or isinstance(part, ToolCall | WebSearch)
        if (
            (isinstance(part, TextPart) and part.text)
            or isinstance(part, ToolCall | ToolResult | WebSearch)
            or (isinstance(part, ReasoningPart) and has_cards)
        ):
            shown.append(part)
    return list(with_joined_texts(shown))


def _cards(message: Message, parts: Iterable[Part]) -> dict[str, Card]:
    cards: dict[str, Card] = {}
    for part in parts:
        if isinstance(part, ToolCall):
            cards[part.id] = Card(len(cards), part.name, part.arguments, ToolCallState.SKIPPED)
        elif isinstance(part, ToolResult) and part.call_id in cards:
            card = cards[part.call_id]
            card.state, card.result, card.seconds = part.state, part.text, part.seconds
    for run in _runs(message):
        if (found := cards.get(run.call_id)) and run.state != ToolCallState.DONE:
            found.state = run.state
            found.run_id = run.pk if run.state == ToolCallState.ASKED else None
    return cards


def _runs(message: Message) -> Iterator[ToolRun]:
    """Yields the calls of a reply that waits for a decision; `read_for_showing` has read them."""
    reply = message.reply
    if reply is not None and reply.is_live:
        yield from reply.tool_runs.all()
