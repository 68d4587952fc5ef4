"""Transformers: the same result for any division of the text, and nothing lost or out of order."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.pipeline.policy import StreamPolicy, Transformer
from chat.pipeline.transform import RegexRedaction, text_transformer, transform
from chat.providers import errors
from chat.providers.events import (
    Notice,
    ProviderEvent,
    ReasoningDelta,
    Reset,
    TextDelta,
    ToolCallDelta,
)
from tests.pipeline.scripts import DONE, play, text_of, words

PATTERNS = [
    r"\d{4}",
    r"\bcat\b",
    r"(?<=a)b{1,3}(?!c)",
    r"(?i)secret-[a-c]{2,8}",
    r"a|ab|abc",
    r"^a",
    r"c$",
    r"\s{2,3}",
]
ALPHABET = st.text(alphabet="abc 1234-\nSECRETcat", max_size=300)


def cut(text: str, sizes: list[int]) -> list[str]:
    pieces, start = [], 0
    for size in sizes:
        pieces.append(text[start : start + size])
        start += size
    return [*pieces, text[start:]]


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=ALPHABET, sizes=st.lists(st.integers(0, 20), max_size=30))
def test_redaction_does_not_depend_on_where_the_text_is_cut(
    pattern: str, text: str, sizes: list[int]
) -> None:
    redaction = RegexRedaction(pattern, "#", longest=24)
    out = "".join(map(redaction.feed, cut(text, sizes))) + redaction.flush()
    assert out == re.sub(pattern, "#", text)


@given(text=st.text(max_size=400), sizes=st.lists(st.integers(0, 30), max_size=20))
def test_redaction_holds_back_a_bounded_tail(text: str, sizes: list[int]) -> None:
    redaction = RegexRedaction("never matches this", longest=32)
    fed = out = 0
    for piece in cut(text, sizes):
        fed += len(piece)
        out += len(redaction.feed(piece))
        assert fed - out <= 32


def test_a_match_without_a_bound_is_waited_for_until_it_ends() -> None:
    redaction = RegexRedaction(r"sk-\w+", "[key]", longest=8)
    pieces = ["the key sk-", "0123456789", "abcdef", "ghij is ", "gone, and this is a longer text"]
    assert "".join(map(redaction.feed, pieces)) + redaction.flush() == (
        "the key [key] is gone, and this is a longer text"
    )


def test_a_match_that_never_ends_does_not_hold_back_for_ever() -> None:
    redaction = RegexRedaction(r"x+", "#", longest=8)
    assert "".join(redaction.feed("x" * 5) for _ in range(100)).count("#") > 5


def upper() -> Transformer:
    class Upper:
        def feed(self, text: str) -> str:
            return text.upper()

        def flush(self) -> str:
            return ""

    return text_transformer(Upper)


REDACT = text_transformer(lambda: RegexRedaction("secret", "#", longest=16))


async def run(
    *steps: ProviderEvent | Exception, by: tuple[Transformer, ...] = (REDACT,)
) -> list[ProviderEvent]:
    return [event async for event in transform(play(*steps), StreamPolicy(transformers=by))]


async def test_transformers_apply_in_order() -> None:
    assert text_of(await run(*words("a secr", "et b"), DONE, by=(REDACT, upper()))) == "A # B"
    assert text_of(await run(*words("a secr", "et b"), DONE, by=(upper(), REDACT))) == "A SECRET B"


async def test_held_back_text_arrives_before_the_end() -> None:
    assert await run(*words("short"), DONE) == [TextDelta("short"), DONE]


async def test_held_back_text_arrives_when_the_stream_is_cut() -> None:
    assert await run(*words("short")) == [TextDelta("short")]


async def test_held_back_text_arrives_before_an_error() -> None:
    seen = []
    with pytest.raises(errors.ConnectionFailedError):
        async for event in transform(
            play(*words("short"), errors.ConnectionFailedError()), StreamPolicy(transformers=(REDACT,))
        ):
            seen.append(event)
    assert seen == words("short")


async def test_the_order_of_reasoning_text_and_calls_is_kept() -> None:
    call = ToolCallDelta(0, "{}", id="1", name="f")
    events = await run(ReasoningDelta("I think"), TextDelta("text"), call, TextDelta("more"), DONE)
    assert events == [ReasoningDelta("I think"), TextDelta("text"), call, TextDelta("more"), DONE]


async def test_reasoning_and_answer_are_not_one_text() -> None:
    events = await run(ReasoningDelta("sec"), TextDelta("ret"), DONE)
    assert events == [ReasoningDelta("sec"), TextDelta("ret"), DONE]


async def test_a_new_attempt_starts_with_an_empty_filter() -> None:
    assert await run(TextDelta("sec"), Reset(), TextDelta("ret"), DONE) == [Reset(), TextDelta("ret"), DONE]


async def test_notices_do_not_wait_behind_text() -> None:
    notice = Notice("heartbeat")
    assert await run(TextDelta("abc"), notice, DONE) == [
        notice,
        TextDelta("abc"),
        DONE,
    ]
