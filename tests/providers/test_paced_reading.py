"""After its first output, a response is read at intervals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import cycle
from typing import Any
from unittest.mock import Mock

import aiohttp
import pytest

from chat.generation import journal
from chat.providers import paced_reading
from chat.providers.events import ProviderEvent, ReasoningDelta, TextDelta
from chat.providers.paced_reading import PacedReader
from chat.providers.sse import MAX_JOINED, join_texts
from tests.providers.conftest import Connect, ask
from tests.providers.wire import FORMATS, Wire


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[PacedReader]:
    """The reader of each response. None of them ends by itself."""
    made: list[PacedReader] = []
    enter = PacedReader.__enter__

    def entered(reader: PacedReader) -> PacedReader:
        made.append(reader)
        return enter(reader)

    monkeypatch.setattr(PacedReader, "__enter__", entered)
    monkeypatch.setattr(paced_reading, "interval_seconds", lambda: 3_600.0)
    return made


async def first_text(events: AsyncIterator[ProviderEvent]) -> str:
    while not isinstance(event := await anext(events), TextDelta):
        pass
    return event.text


async def read_on(reader: PacedReader) -> None:
    while True:
        if reader._timer is not None:
            reader._timer.cancel()
            reader._read()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("name", FORMATS)
async def test_the_first_text_is_read_at_once_and_the_rest_of_an_interval_as_one_piece(
    connect: Connect, wire: Wire, stopped: list[PacedReader], name: str
) -> None:
    request = ask("/wire tokens=30 pace=100")
    async with aclosing(connect(name).stream(request)) as stream:
        text = await first_text(stream)
        (reader,) = stopped
        waiting = asyncio.create_task(anext(stream))
        await wire.reached(30)
        assert not waiting.done()  # what the provider wrote meanwhile is not read
        reading = asyncio.create_task(read_on(reader))
        try:
            pieces = [await waiting, *[event async for event in stream]]
        finally:
            reading.cancel()
    texts = [piece.text for piece in pieces if isinstance(piece, TextDelta)]
    assert (text + "".join(texts)).split()[-1] == "word29"
    assert len(texts) < 10  # the socket is not read for each of the 29


@pytest.mark.parametrize("name", FORMATS)
async def test_closing_a_stream_between_two_reads_closes_its_connection(
    connect: Connect, wire: Wire, stopped: list[PacedReader], name: str
) -> None:
    async with aclosing(connect(name).stream(ask("/wire tokens=1000 pace=50"))) as stream:
        await first_text(stream)
    await asyncio.wait_for(wire.settled(), 60)
    assert wire.log[-1].end == "closed by client"
    assert paced_reading._streams == 0


@pytest.mark.parametrize("name", FORMATS)
async def test_cancelling_between_two_reads_ends_the_wait(
    connect: Connect, wire: Wire, stopped: list[PacedReader], name: str
) -> None:
    async with aclosing(connect(name).stream(ask("/wire tokens=1000 pace=50"))) as stream:
        await first_text(stream)
        waiting = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await asyncio.wait_for(wire.settled(), 60)


def test_a_socket_that_is_paused_for_another_reason_stays_paused() -> None:
    """It is paused while too much waits to be read. Reading would end that pause, and fill the memory."""
    transport = Mock(**{"is_reading.return_value": False, "is_closing.return_value": False})
    transport.get_extra_info.return_value = None
    with PacedReader(Mock(**{"connection.transport": transport})) as reader:
        reader.pause(100)
    assert not transport.pause_reading.called and not transport.resume_reading.called


def response_of(reads: list[int]) -> Mock:
    """A response whose socket has so many bytes at each reading."""
    response = Mock(**{"content.total_bytes": 0})
    transport = response.connection.transport
    transport.get_extra_info.return_value = None
    transport.is_closing.return_value = False

    def read() -> None:
        response.content.total_bytes += reads.pop(0)

    transport._read_ready.side_effect = read
    return response


async def test_a_fast_provider_is_read_at_each_interval_without_ending_the_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seconds = cycle(
        [0.0, 3_600.0]
    )  # until the next read, and until the pause ends if nobody begins another one
    monkeypatch.setattr(paced_reading, "interval_seconds", lambda: next(seconds))
    reads = [100, 100, 0]
    response = response_of(reads)
    with PacedReader(response) as reader:
        while reads:
            reader.pause(100)
            left = len(reads)
            while len(reads) == left:
                await asyncio.sleep(0.001)
            is_slow = not reads
            assert response.connection.transport.resume_reading.called is is_slow  # woken by the next piece
        reader.pause(100)
    assert response.connection.transport.resume_reading.call_count == 2


async def test_a_piece_that_a_decoder_keeps_does_not_stop_the_stream(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decompression and binary frames may yield nothing for a piece, and then nobody ends its pause."""
    read = paced_reading.pieces_of

    async def kept(response: Any) -> AsyncIterator[bytes]:
        held = b""
        async for piece in read(response):
            held += piece
            if len(held) > 2_000 or held.count(b"word") < 3:
                yield held
                held = b""
        yield held

    monkeypatch.setattr(paced_reading, "pieces_of", kept)
    async with (
        asyncio.timeout(60),
        aclosing(connect("openai_chat").stream(ask("/wire tokens=60 pace=60"))) as it,
    ):
        texts = [event.text async for event in it if isinstance(event, TextDelta)]
    assert "word58" in "".join(texts)


async def test_what_arrived_before_a_connection_broke_is_used() -> None:
    content = aiohttp.StreamReader(Mock(_reading_paused=False), 1_000, loop=asyncio.get_running_loop())
    content.feed_data(b"the last words")
    content.set_exception(aiohttp.ClientPayloadError("cut"))
    pieces = paced_reading._Pieces(content)
    assert await anext(pieces) == b"the last words"
    with pytest.raises(aiohttp.ClientPayloadError):
        await anext(pieces)


async def test_a_connection_is_not_left_paused_for_the_next_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paced_reading, "interval_seconds", lambda: 3_600.0)
    response = response_of([100])
    transport = response.connection.transport
    with PacedReader(response) as reader:
        reader.pause(100)
        transport._read_ready.side_effect = lambda: setattr(response, "connection", None)
        reader._read()
        assert transport.resume_reading.called


@pytest.mark.parametrize("name", FORMATS)
async def test_another_version_of_aiohttp_is_read_without_pauses(
    connect: Connect, wire: Wire, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(paced_reading, "_HAS_PRIVATE_NAMES", False)
    async with aclosing(connect(name).stream(ask("/wire tokens=30 pace=100"))) as stream:
        texts = [event.text async for event in stream if isinstance(event, TextDelta)]
    assert "".join(texts).split()[-1] == "word29"


def test_the_interval_is_longer_with_more_streams_and_leaves_time_for_the_journal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paced_reading, "_streams", 1)
    assert paced_reading.interval_seconds() < 0.04
    monkeypatch.setattr(paced_reading, "_streams", 50)
    assert paced_reading.interval_seconds() < 0.1
    monkeypatch.setattr(paced_reading, "_streams", 1_000)
    assert paced_reading.interval_seconds() + paced_reading.COARSE_GRID_SECONDS + journal.PERIOD < 0.45


@pytest.mark.parametrize("streams", [1, 20, 50, 1_000])
def test_streams_that_are_due_at_about_the_same_time_are_read_together(
    monkeypatch: pytest.MonkeyPatch, streams: int
) -> None:
    monkeypatch.setattr(paced_reading, "_streams", streams)
    now, interval = 1_234.5, paced_reading.interval_seconds()
    due = [paced_reading.next_read(now + number / 1_000) for number in range(1_000)]
    assert len(set(due)) <= 102
    assert all(0.5 * interval < at - now - number / 1_000 < 1.5 * interval for number, at in enumerate(due))
    # The next read of a stream that was read in time is a whole interval later, not more.
    assert all(
        paced_reading.next_read(at + 0.002) - at < interval + paced_reading.COARSE_GRID_SECONDS / 2 + 0.003
        for at in due
    )


def test_neighbours_of_one_kind_are_joined_and_no_piece_is_long() -> None:
    events = [
        TextDelta("a"),
        TextDelta("b"),
        ReasoningDelta("c"),
        ReasoningDelta("d"),
        ReasoningDelta("", redacted=True),
        ReasoningDelta("e"),
        TextDelta("f" * MAX_JOINED),
        TextDelta("g"),
    ]
    assert join_texts(events) == [
        TextDelta("ab"),
        ReasoningDelta("cd"),
        ReasoningDelta("", redacted=True),
        ReasoningDelta("e"),
        TextDelta("f" * MAX_JOINED),
        TextDelta("g"),
    ]
