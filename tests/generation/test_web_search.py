"""Replies that search the web, over each provider's wire format on real sockets."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from chat.actions.chat_export import export_one
from chat.actions.reply import continue_reply
from chat.actions.share import COPIED
from chat.api.output import Output
from chat.database import run_unit
from chat.generation.context import NO_SEARCH, NO_SEARCH_WITH_TOOLS
from chat.generation.orphans import end_from_journal
from chat.generation.runner import Runner
from chat.live.reply_log import CITATION, WEB_SEARCH, Segment
from chat.live.search_lines import citation_line, search_line
from chat.live.tool_call_lines import parts_of
from chat.models import ChatModel, Conversation, Generation, JournalEntry, Status, Tool, User
from chat.parts import Citation, NoticePart, TextPart, WebSearch, loaded, stored
from chat.transfer.chats import Chat, Node, Reply
from chat.transfer.steady import dump, load
from tests.generation.test_run import again, model, queued
from tests.generation.test_tool_wire import Offer, offer, ran, runner, wire
from tests.providers.wire import CITED, SEARCHES, Wire

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["offer", "runner", "wire"]

LINKED = [url for url, _title in CITED if url.startswith("https")]


def asked(person: User, script: str, *tools: str, **fields: object) -> Generation:
    fields = {"searches_web": True, "input_price": 1, "output_price": 1, "search_price": 10, **fields}
    (generation,) = queued(person, f"/wire {script}", model("own", **fields))
    Tool.objects.get_or_create(name="web_search", defaults={"enabled": True, "asks": True})
    Conversation.objects.filter(pk=generation.conversation_id).update(tools=["web_search", *tools])
    return generation


async def test_a_reply_keeps_its_search_and_what_it_cites(person: User, wire: Wire, runner: Runner) -> None:
    first = await run_unit(asked, person, "search=1 reasoning=1 text=Grüße_from_here")
    await runner.run_of(first.pk)()
    reply = await again(first)
    assert reply.status == Status.COMPLETE
    parts = loaded(reply.message.parts)
    cited = [part for part in parts if isinstance(part, Citation)]
    assert [it.url for it in cited] == LINKED and "\u202e" not in cited[1].title
    text = "Grüße from here"
    assert reply.message.text == text and {text[: it.at] for it in cited} <= {"Grüße", text}
    searches = [part for part in parts if isinstance(part, WebSearch)]
    has_searches = "chat" not in wire.log[0].path
    assert [(it.query, it.state) for it in searches] == [("Grüße <today>", "done")] * has_searches
    assert reply.searches == len(searches)
    assert reply.cost is not None and (reply.cost > Decimal("0.01")) == has_searches

    # The API tells each of them once, however often the output is read.
    output = Output(0)
    told = [*output.feed_parts(parts), *output.feed_parts(parts)]
    assert [piece.call for piece in told if piece.kind == "citation"] == [
        {"url": it.url, "title": it.title, "at": it.at} for it in cited
    ]
    assert sum(piece.kind == "web_search" for piece in told) == len(searches)

    # Steady's own file has them, and reads them again.
    nodes = [Node("1", None, [TextPart("?")], shown=True), Node("2", "1", parts, Reply("m"), shown=True)]
    again_ = load(json.loads(json.dumps(dump(Chat("c", "", nodes, head="2")))))
    shown = [part for part in parts if isinstance(part, WebSearch | Citation | TextPart)]
    assert [it for it in again_.nodes[1].parts if isinstance(it, WebSearch | Citation | TextPart)] == shown
    _name, file = await run_unit(export_one, person, first.conversation_id, "markdown")
    written = b"".join([piece async for piece in file]).decode()
    assert "\\[1\\]" in written and "1. [News \\<b\\>of\\</b\\> the day](<https://news" in written
    assert "javascript:" not in written


async def test_a_search_needs_the_flag_of_the_model_and_the_switch_of_the_chat(
    person: User, wire: Wire, runner: Runner
) -> None:
    without = await run_unit(asked, person, "search=1", searches_web=None)
    await runner.run_of(without.pk)()
    parts = loaded((await again(without)).message.parts)
    assert NoticePart(NO_SEARCH) in parts and not any(isinstance(part, WebSearch) for part in parts)
    await ChatModel.objects.aupdate(searches_web=True)
    (plain,) = await run_unit(queued, person, "/wire search=1", without.model)
    await runner.run_of(plain.pk)()
    assert not [part for part in loaded((await again(plain)).message.parts) if isinstance(part, NoticePart)]
    assert len(wire.log) == 2
    assert not any(name in json.dumps(entry.body) for entry in wire.log for name in SEARCHES)


async def test_a_search_beside_a_tool(person: User, wire: Wire, runner: Runner, offer: Offer) -> None:
    times: list[str] = []
    await run_unit(offer, ran(times, "a"))
    first = await run_unit(asked, person, "search=1 tools=1 tokens=1", "tool0")
    await runner.run_of(first.pk)()
    reply = await again(first)
    parts = loaded(reply.message.parts)
    assert (reply.status, len(wire.log), times) == (Status.COMPLETE, 2, ["a Zürich"])
    if "generateContent" in wire.log[0].path.replace("streamG", "g"):
        assert NoticePart(NO_SEARCH_WITH_TOOLS) in parts
        return
    places = [part.at for part in parts if isinstance(part, Citation)]
    said = [part.text for part in parts if isinstance(part, TextPart)]
    # The scripted provider of Anthropic's format reads no script in a request with results.
    steps = 1 if "messages" in wire.log[0].path else 2
    assert len(places) == steps * len(LINKED)
    assert steps == 1 or (places[-1] or 0) > len(said[0])
    assert reply.searches == sum(isinstance(part, WebSearch) for part in parts)


SEEN = [
    Segment("text", "So. "),
    Segment(WEB_SEARCH, search_line(WebSearch("a", "one", "done"))),
    Segment("text", "It is."),
    Segment(CITATION, citation_line(Citation(LINKED[0], "News", 6), 4)),
    Segment(WEB_SEARCH, search_line(WebSearch("b", "two"))),
]


async def test_what_was_cited_before_a_kill_is_kept_and_continued(person: User, runner: Runner) -> None:
    demo = await run_unit(model, "demo", searches_web=True, input_price=1, output_price=1, search_price=10)
    await ChatModel.objects.filter(pk=demo.pk).aupdate(name="demo-fast")
    (first,) = await run_unit(queued, person, "/demo instant /demo echo So. It is. That is all.", demo)
    killed = Generation.objects.filter(pk=first.pk)
    await killed.aupdate(status=Status.RUNNING, owner="gone")
    await JournalEntry.objects.acreate(generation=first, start=0, segments=SEEN)
    assert await run_unit(end_from_journal, await killed.aget(), lambda _id: None)
    orphan = await again(first)
    assert (orphan.status, orphan.searches) == (Status.INTERRUPTED, 1)
    assert orphan.cost is not None and orphan.cost > Decimal("0.01")
    parts = loaded(orphan.message.parts)
    assert parts[3] == Citation(LINKED[0], "News", 10) and parts[4] == WebSearch("b", "two")

    message = await run_unit(continue_reply, person, orphan.message_id)
    continued = await run_unit(lambda: message.generation)
    await runner.run_of(continued.pk)()
    reply = await again(continued)
    assert reply.status == Status.COMPLETE and reply.message.text.startswith("So. It is.")
    assert loaded(reply.message.parts)[:5] == parts[:5]


def test_a_share_copies_what_a_text_cites_but_no_search() -> None:
    """The marks stand at places of the text, which is the same."""
    parts = stored(parts_of(SEEN))
    kept = [part["type"] for part in parts if part["type"] in COPIED]
    assert kept == ["text", "text", "citation"]
