"""Which turns of a conversation a model is sent. Pure: knows no database.

The newest turns, as many as fit. When they do not fit any more, so many go at once that half of the room is
free again: for several turns to come the request then begins with the same text, which providers read from
their caches at a tenth of the price.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from chat.pipeline.tokens import estimate_tokens, turn_tokens
from chat.providers.base import Turn

REPLY_SHARE = 4  # a quarter of the window is kept for the reply
LEAST_SHARE = 10  # a tenth, however short replies may be: the estimate is not exact
STEADY = 100  # estimated tokens; a short request is mostly wrapping, and says little about longer ones
LOWEST, HIGHEST = 0.4, 4.0
KEPT = 0.5  # of the room, when something has to go
BACK = 0.75  # of the room; if all messages have that, those that were left out are sent again


@dataclass(frozen=True, slots=True)
class Placed:
    """A turn and the position of its message."""

    position: int
    turn: Turn


@dataclass(frozen=True, slots=True)
class Fitted:
    """The older turns that are sent, in order. `sent_from` is the position of the first message that is sent;
    0 if all are."""

    older: list[Placed]
    sent_from: int


def room_for_input(window: int, most_output: int | None) -> int:
    """The tokens of a window that the input may have, where a reply has at most so many."""
    reply = window // REPLY_SHARE if most_output is None else min(window // REPLY_SHARE, most_output)
    return window - max(reply, window // LEAST_SHARE)


def most_output_beside(used: float, window: int, most_output: int) -> int:
    """The limit of a reply to ask for beside an input of `used` tokens: some servers refuse a request whose
    limit and input are together more than the window."""
    return max(1, min(most_output, window // LEAST_SHARE), min(most_output, int(window - used)))


def correction(estimated: int | None, counted: int | None) -> float:
    """The provider's tokens for each of ours, from an earlier request of the same conversation; bounded, as
    gateways count what they like."""
    if not estimated or not counted:
        return 1.0
    return max(LOWEST, min(HIGHEST, (counted + STEADY) / (estimated + STEADY)))


def tokens_of(system: str, turns: Iterable[Turn]) -> int:
    return estimate_tokens(system) + sum(map(turn_tokens, turns))


def fitted(older: Iterable[Placed], last: int, room: float, *, fixed: int = 0, before: int = 0) -> Fitted:
    """What fits of the `older` turns, which come newest first and are taken only as far as needed.

    `room` is in estimated tokens, of which `fixed` are taken by what is sent in any case: the system prompt,
    the prompt at position `last` and what follows it. `before` is the `sent_from` of the request before."""
    near: list[Placed] = []  # what fits, newest first
    totals: list[int] = []  # with each of them
    total, beyond = fixed, 0  # the position of the newest that does not fit; 0 if all do
    for placed in older:
        total += turn_tokens(placed.turn)
        if total > room:
            beyond = placed.position
            break
        near.append(placed)
        totals.append(total)
    if not beyond and (not before or total <= room * BACK):
        return Fitted(near[::-1], 0)
    if before > beyond:  # what was sent before still fits, with all that came since
        kept = [placed for placed in near if placed.position >= before]
    else:
        kept = [placed for placed, total in zip(near, totals, strict=True) if total <= room * KEPT]
    while kept and kept[-1].turn.role != "user":
        kept.pop()
    return Fitted(kept[::-1], kept[-1].position if kept else last)


def alternating(turns: Iterable[Turn]) -> list[Turn]:
    """The turns as every provider takes them, those with strict chat templates too: a user's first, then by
    turns, none of them empty. Turns of one side that follow each other (a prompt whose reply was stopped
    before its first word, and the next one) become one."""
    merged: list[Turn] = []
    for turn in turns:
        if _is_empty(turn) or (not merged and turn.role != "user"):
            continue
        if merged and merged[-1].role == turn.role:
            merged[-1] = _joined(merged[-1], turn)
        else:
            merged.append(turn)
    return merged


def _is_empty(turn: Turn) -> bool:
    return not (turn.text.strip() or turn.files or turn.tool_calls or turn.tool_results)


def _joined(first: Turn, second: Turn) -> Turn:
    """Provider metadata is bound to its place in one turn, and is left out."""
    return replace(
        first,
        text="\n\n".join(text for text in (first.text, second.text) if text.strip()),
        files=[*first.files, *second.files],
        tool_calls=[*first.tool_calls, *second.tool_calls],
        tool_results=[*first.tool_results, *second.tool_results],
        opaque=[],
    )
