"""The providers' own web search, over real sockets: what is asked for, the searches and citations of the
answer, and what is sent back in the next request."""

from __future__ import annotations

from typing import Any

import pytest

from chat.parts import Citation, Opaque, ToolResult, WebSearch
from chat.pipeline.compose import compose
from chat.pipeline.policy import StreamPolicy
from chat.providers.anthropic_messages import (
    MOST_SEARCH_BYTES,
    MessagesDecoder,
    messages_body,
    search_bytes_before,
)
from chat.providers.base import CONTINUE_PROMPT, ChatRequest, Turn
from chat.providers.events import Finished, TextDelta, Usage
from chat.providers.gemini_content import ContentDecoder
from chat.providers.openai_responses import ResponsesDecoder
from tests.providers.conftest import Connect, ask, collect
from tests.providers.wire import CITED, ENCRYPTED, FORMATS, Wire

OFFERED = {
    "openai": ("tools", [{"type": "web_search"}]),
    "openai_chat": ("web_search_options", {}),
    "openai_compatible": ("web_search_options", {}),
    "anthropic": ("tools", [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]),
    "gemini": ("tools", [{"googleSearch": {}}]),
}


@pytest.mark.parametrize("split", [0, 7])
@pytest.mark.parametrize("name", FORMATS)
async def test_an_answer_has_its_searches_and_citations(
    name: str, split: int, wire: Wire, connect: Connect
) -> None:
    request = ask(f"/wire search=1 text=Grüße_from_here split={split}", web_searches=3)
    events, meter = compose(connect(name), request, StreamPolicy())
    found = [event async for event in events]
    field, offered = OFFERED[name]
    assert wire.log[0].body[field] == offered
    assert wire.log[0].body.get("max_tool_calls") == (3 if name == "openai" else None)

    text = "".join(event.text for event in found if isinstance(event, TextDelta))
    cited = [event for event in found if isinstance(event, Citation)]
    assert [(it.url, it.title) for it in cited] == list(CITED)
    # Anthropic cites for a whole block of text.
    assert {text[: it.at].strip() for it in cited} == {"Grüße from here" if name == "anthropic" else "Grüße"}
    searches = [event for event in found if isinstance(event, WebSearch)]
    if name in ("openai_chat", "openai_compatible"):
        assert searches == []
        return
    assert (searches[-1].query, searches[-1].state) == ("Grüße <today>", "done")
    assert len({search.id for search in searches}) == 1 == meter.usage.searches
    if name != "gemini":  # it says so at the end
        assert searches[0].state == "started" and found.index(searches[0]) < found.index(cited[0])


@pytest.mark.parametrize("name", FORMATS)
async def test_no_search_is_offered_unless_it_was_asked_for(name: str, wire: Wire, connect: Connect) -> None:
    found = await collect(connect(name), ask("/wire search=1"))
    assert OFFERED[name][0] not in wire.log[0].body
    assert not any(isinstance(event, WebSearch | Citation) for event in found)


async def test_results_are_sent_back_to_anthropic_byte_by_byte(connect: Connect) -> None:
    found = await collect(connect("anthropic"), ask("/wire search=1 text=So_it_is", web_searches=3))
    opaque = [event for event in found if isinstance(event, Opaque)]
    turns = [Turn("user", "?"), Turn("assistant", "So it is", opaque=opaque), Turn("user", "More.")]

    def content(**more: Any) -> list[Any]:
        body = messages_body(ChatRequest("wire", turns, **more))
        return list(body["messages"][1]["content"])

    use, result, text = content(web_searches=1)
    assert use == {
        "type": "server_tool_use",
        "id": "srvtoolu_1",
        "name": "web_search",
        "input": {"query": "Grüße <today>"},
    }
    assert result["tool_use_id"] == "srvtoolu_1"
    assert [page["encrypted_content"] for page in result["content"]] == [ENCRYPTED] * len(CITED)
    assert text == {"type": "text", "text": "So it is"}
    assert content() == [text]  # a request without the search may have no such block


def test_a_search_in_the_middle_of_a_text_is_sent_back_there() -> None:
    blocks = [{"type": "server_tool_use"}, {"type": "web_search_tool_result"}]
    data = {"kind": "", "model": "m", "after_text": True, "after_calls": 0, "at": 3, "blocks": blocks}
    turn = Turn("assistant", "One two", opaque=[Opaque("anthropic_search", data)])
    (message,) = messages_body(ChatRequest("m", [turn], web_searches=1))["messages"]
    one, *searched, two = message["content"]
    assert (one["text"], two["text"], searched) == ("One", " two", blocks)


def block(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def test_a_search_without_a_usable_result_is_failed_and_not_sent_back() -> None:
    decoder = MessagesDecoder("m")
    use = block(0, type="server_tool_use", id="s", name="web_search", input={})
    failed = {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}
    result = block(1, type="web_search_tool_result", tool_use_id="s", content=failed)
    broken = {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta"}}
    broken["delta"]["partial_json"] = '{"query": '  # type: ignore[index]
    events = [*decoder.events(use), *decoder.events(broken), *decoder.events(result)]
    assert events == [WebSearch("s"), WebSearch("s", "", "failed")]
    assert decoder.events(result) == ()  # a second result belongs to no search
    other = block(2, type="server_tool_use", id="c", name="code_execution", input={})
    broken["index"] = 2
    assert [*decoder.events(other), *decoder.events(broken)] == []


def test_results_up_to_a_limit_are_sent_back_whatever_their_titles() -> None:
    decoder = MessagesDecoder("m")
    kept = []
    for number in range(4):
        decoder.events(block(2 * number, type="server_tool_use", id=str(number), name="web_search", input={}))
        pages = [{"title": "half \ud83d", "encrypted_content": "x" * (MOST_SEARCH_BYTES - 1_000)}]
        result = block(2 * number + 1, type="web_search_tool_result", tool_use_id=str(number), content=pages)
        kept.append([type(event) for event in decoder.events(result)])
    assert kept == [[WebSearch, Opaque], [WebSearch, Opaque], [WebSearch], [WebSearch]]


def test_the_results_of_all_steps_of_a_reply_share_one_limit() -> None:
    steps: list[Opaque] = []
    for number in range(6):
        turns = [Turn("user", "Before"), Turn("assistant", "Long ago", opaque=steps), Turn("user", "Now?")]
        for step in steps:
            turns += [Turn("assistant", "", opaque=[step]), Turn("user", tool_results=[ToolResult("1", "")])]
        turns.append(Turn("user", CONTINUE_PROMPT))
        decoder = MessagesDecoder("m", search_bytes=search_bytes_before(ChatRequest("m", turns)))
        search = {"type": "server_tool_use", "id": f"s{number}", "name": "web_search", "input": {}}
        pages = [{"type": "web_search_result", "encrypted_content": "x" * 300_000}]
        result = {"type": "web_search_tool_result", "tool_use_id": f"s{number}", "content": pages}
        for index, block in enumerate((search, result)):
            start = {"type": "content_block_start", "index": index, "content_block": block}
            steps += [event for event in decoder.events(start) if isinstance(event, Opaque)]
    assert len(steps) == 3  # 900 kB


def test_a_citation_is_kept_if_the_stream_ends_within_its_text() -> None:
    decoder = MessagesDecoder("m")
    decoder.events(block(0, type="text", text="So"))
    citation = {"type": "web_search_result_location", "url": "https://a.example", "title": None}
    delta = {"type": "citations_delta", "citation": citation}
    assert decoder.events({"type": "content_block_delta", "index": 0, "delta": delta}) == ()
    assert decoder.close() == [Citation("https://a.example", "", 2)]


def test_indexes_count_from_the_part_of_their_citation() -> None:
    """A response has several texts if the model searches between them."""
    decoder = ResponsesDecoder("m")
    decoder.events({"type": "response.output_text.delta", "delta": "I look. "})
    decoder.events({"type": "response.content_part.added"})
    decoder.events({"type": "response.output_text.delta", "delta": "So it is."})
    cited = {"type": "url_citation", "url": "https://a.example", "title": "A", "end_index": 2}
    assert decoder.events({"type": "response.output_text.annotation.added", "annotation": cited}) == (
        Citation("https://a.example", "A", 10),
    )


def test_a_page_that_was_opened_is_a_search_for_its_address() -> None:
    decoder = ResponsesDecoder("m")
    action = {"type": "open_page", "url": "https://a.example"}
    item = {"type": "web_search_call", "id": "ws", "status": "failed", "action": action}
    search, opaque = decoder.events({"type": "response.output_item.done", "item": item})
    assert search == WebSearch("ws", "https://a.example", "failed")
    assert isinstance(opaque, Opaque) and opaque.data["item"] == item  # reasoning before it needs it


def test_the_text_of_a_segment_decides_where_gemini_cites() -> None:
    decoder = ContentDecoder("m")

    def chunk(**more: Any) -> dict[str, Any]:
        return {"candidates": [{"content": {"parts": [{"text": "Grüße. Ja."}]}, **more}]}

    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a.example", "title": "a.example"}}, {}],
        "groundingSupports": [
            {"segment": {"endIndex": 3, "text": "Ja."}, "groundingChunkIndices": [0, 1]},
            {"segment": {"text": "Not there"}, "groundingChunkIndices": [0]},
        ],
    }
    events = decoder.events(chunk(groundingMetadata=grounding))
    assert events[1:] == [
        Citation("https://a.example", "a.example", 10),
        Citation("https://a.example", "a.example", None),
    ]
    unplaced = ContentDecoder("m").events(chunk(groundingMetadata={**grounding, "groundingSupports": []}))
    assert unplaced[1:] == [Citation("https://a.example", "a.example", None)]


def test_only_so_much_of_the_metadata_of_gemini_is_read() -> None:
    grounding = {
        "webSearchQueries": [str(number) for number in range(1_000)],
        "groundingChunks": [{"web": {"uri": f"https://a.example/{number}"}} for number in range(1_000)],
        "groundingSupports": [
            {"segment": {"text": "Ja."}, "groundingChunkIndices": [number]} for number in range(1_000)
        ],
    }
    candidate = {"content": {"parts": [{"text": "Ja."}]}, "groundingMetadata": grounding}
    events = ContentDecoder("m").events({"candidates": [candidate]})
    searches = [event for event in events if isinstance(event, WebSearch)]
    assert len(searches) == 50 and {search.engine for search in searches} == {"google"}
    assert sum(isinstance(event, Citation) for event in events) == 200


async def test_searches_of_a_cut_answer_are_counted(connect: Connect) -> None:
    events, meter = compose(connect("openai"), ask("/wire search=1 cut=2", web_searches=3), StreamPolicy())
    found = [event async for event in events]
    assert not isinstance(found[-1], Finished | Usage)
    assert (meter.usage.searches, meter.usage.estimated) == (1, True)
