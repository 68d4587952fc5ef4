"""The calls of tools in the output of a reply: how they are written to its log, and read as parts.

Segments of the kind "tool_call" are lines, each a JSON object. A piece of a call has its `index` among the
calls of the reply, `id` and `name` in its first piece, and the next fragment of `arguments`. A line with
`state` says how the call stands. The last one of a call has the `result`, and in `seconds` how long it took.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from typing import Any

from chat.live.reply_log import CITATION, TOOL_CALL, WEB_SEARCH, Segment, joined, lines_of
from chat.live.search_lines import citation_of, search_of
from chat.parts import (
    Citation,
    Opaque,
    Part,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
    WebSearch,
    storable,
    tool_calls,
)

RUNNING = ("asked", "approved", "started")  # the states of a call without a result


def piece_line(index: int, arguments: str, call_id: str | None = None, name: str | None = None) -> str:
    """Returns the line of a piece of a call."""
    piece = {"index": index, "id": call_id, "name": name, "arguments": arguments}
    return json.dumps(piece) + "\n"


def state_line(index: int, state: str, result: str | None = None, seconds: float | None = None) -> str:
    """Returns the line of a call's state."""
    line: dict[str, Any] = {"index": index, "id": None, "name": None, "arguments": "", "state": state}
    if result is not None:
        line |= {"result": result, "seconds": seconds}
    return json.dumps(line) + "\n"


def parts_of(segments: Iterable[Segment], opaque: Sequence[tuple[int, Opaque]] = ()) -> list[Part]:
    """Returns the parts in the order of the output; a call stands where its first piece came. `opaque` is
    metadata with the number of its step, from 1: it stands at the end of the step, before the results."""
    runs = joined(segments)
    calls = _calls(text for kind, text in runs if kind == TOOL_CALL)
    placed: set[int] = set()
    searches: dict[str, int] = {}  # the places of the searches among the parts
    parts: list[Part] = []
    step = 1

    def begin(*, result: bool) -> None:
        nonlocal step
        after_result = bool(parts) and isinstance(parts[-1], ToolResult)
        if result and not after_result:
            parts.extend(it for number, it in opaque if number == step)
        elif after_result and not result:
            step += 1

    for kind, text in runs:
        if kind in ("text", "reasoning"):
            begin(result=False)
            parts.append(TextPart(text) if kind == "text" else ReasoningPart(text))
        for line in lines_of(text) if kind == WEB_SEARCH else ():
            begin(result=False)
            place = searches.setdefault(line["id"], len(parts))
            parts[place : place + 1] = [search_of(line)]
        for line in lines_of(text) if kind == CITATION else ():
            begin(result=False)
            parts.append(citation_of(line))
        for line in lines_of(text) if kind == TOOL_CALL else ():
            index = line["index"]
            if index not in calls:
                continue
            if index not in placed:
                begin(result=False)
                placed.add(index)
                parts.append(calls[index])
            if "result" in line:
                begin(result=True)
                parts.append(_result(calls[index], line))
    is_ended = bool(parts) and isinstance(parts[-1], ToolResult)
    parts.extend(it for number, it in opaque if number > step or (number == step and not is_ended))
    return parts


def segments_of(parts: Iterable[Part]) -> list[Segment]:
    """Returns the output whose parts these are: text, reasoning, searches with what is cited, and calls with
    their results."""
    segments: list[Segment] = []
    numbers: dict[str, int] = {}
    for part in parts:
        match part:
            case TextPart(text):
                segments.append(Segment("text", text))
            case ReasoningPart(text):
                segments.append(Segment("reasoning", text))
            case WebSearch():
                segments.append(Segment(WEB_SEARCH, json.dumps(asdict(part)) + "\n"))
            case Citation():
                segments.append(Segment(CITATION, json.dumps(asdict(part)) + "\n"))
            case ToolCall(id=call_id, name=name, arguments=arguments):
                number = numbers[call_id] = len(numbers)
                segments.append(Segment(TOOL_CALL, piece_line(number, arguments, call_id, name)))
            case ToolResult(call_id=call_id) if call_id in numbers:
                line = state_line(numbers[call_id], part.state, part.text, part.seconds)
                segments.append(Segment(TOOL_CALL, line))
    return joined(segments)


def opaque_by_step(parts: Iterable[Part]) -> list[tuple[int, Opaque]]:
    """Returns the metadata in these parts, each with the number of its step."""
    found: list[tuple[int, Opaque]] = []
    step, after_result = 1, False
    for part in parts:
        if after_result and not isinstance(part, ToolResult):
            step += 1
        after_result = isinstance(part, ToolResult)
        if isinstance(part, Opaque):
            found.append((step, part))
    return found


def steps_before(parts: Sequence[Part]) -> int:
    """Returns the number of steps in these parts that ended with the results of their calls."""
    pairs = zip_longest(parts, parts[1:])
    return sum(isinstance(part, ToolResult) and not isinstance(after, ToolResult) for part, after in pairs)


def without_open_tool_calls(parts: Iterable[Part]) -> list[Part]:
    """Returns the parts without calls that have no result: such a call never ran."""
    kept = list(parts)
    ended = {part.call_id for part in kept if isinstance(part, ToolResult)}
    return [part for part in kept if not isinstance(part, ToolCall) or part.id in ended]


def tool_calls_in(segments: Iterable[Segment]) -> tuple[int, list[str]]:
    """Returns the number of the next call of this output, and the ids of its calls."""
    texts = (text for kind, text in joined(segments) if kind == TOOL_CALL)
    lines = [line for text in texts for line in lines_of(text)]
    ids = [line["id"] for line in lines if line["id"]]
    return max((line["index"] + 1 for line in lines), default=0), ids


def results_in(segments: Iterable[Segment]) -> set[int]:
    """Returns the indexes of the calls whose result is in this output."""
    texts = (text for kind, text in joined(segments) if kind == TOOL_CALL)
    return {line["index"] for text in texts for line in lines_of(text) if "result" in line}


def _calls(texts: Iterable[str]) -> dict[int, ToolCall]:
    lines = "".join(texts)
    indexes = list(dict.fromkeys(line["index"] for line in lines_of(lines)))
    return dict(zip(indexes, tool_calls(lines), strict=True))


def _result(call: ToolCall, line: Mapping[str, Any]) -> ToolResult:
    state = str(line["state"])
    text = storable(line["result"])
    return ToolResult(call.id, text, is_error=state != "done", state=state, seconds=line.get("seconds"))
