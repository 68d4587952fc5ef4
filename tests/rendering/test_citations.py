"""Cited pages: marks in the text, the list under it, and what hostile ones cannot do."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from django.template.loader import render_to_string
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.live.reply_log import CITATION, TOOL_CALL, WEB_SEARCH, Segment
from chat.live.search_lines import citation_line, citations_in, search_line, searches_in
from chat.live.tool_call_lines import parts_of, piece_line, segments_of, state_line
from chat.models import Message
from chat.parts import Citation, Opaque, TextPart, WebSearch, loaded, storable_part, stored
from chat.rendering.citations import render_cited
from chat.rendering.growing_body import GrowingBody
from chat.rendering.growing_reply import GrowingReply
from chat.rendering.markdown import render_markdown
from chat.rendering.tool_cards import reply_body
from chat.sources import (
    MOST_MARKS,
    MOST_PLACE,
    marked,
    marks_of,
    marks_within,
    plain,
    sources_of,
    web_address,
)
from tests.rendering.test_tool_cards import bare, reply

URL = "https://a.example/x?y=1&z=2"
SEARCH = WebSearch("ws", "What <is> new?")
DONE = WebSearch("ws", "What <is> new?", "done")
OUTPUT = [
    Segment("reasoning", "I look."),
    Segment("text", "I search.\n"),
    Segment(WEB_SEARCH, search_line(WebSearch("ws"))),
    Segment(WEB_SEARCH, search_line(SEARCH)),
    Segment(WEB_SEARCH, search_line(DONE)),
    Segment("text", "It is **so**. "),
    Segment(CITATION, citation_line(Citation(URL, "A", 11), 10)),
    Segment("text", "And more."),
    Segment(CITATION, citation_line(Citation(URL, "A", 23), 10)),
    Segment(CITATION, citation_line(Citation("https://b.example", "", 23), 10)),
]


def cited(source: str, at: int, number: int = 1) -> str:
    return render_cited(source, [(at, number)], id_prefix=uuid4().hex)


def text_of(html: str) -> str:
    return re.sub(r"<[^>]*>", "", html)


def test_searches_and_citations_are_parts_in_their_order() -> None:
    parts = parts_of(OUTPUT, [(1, Opaque("k", {}))])
    assert [type(part).__name__ for part in parts[:-1]] == [
        *(
            "ReasoningPart",
            "TextPart",
            "WebSearch",
            "TextPart",
            "Citation",
            "TextPart",
            "Citation",
            "Citation",
        )
    ]
    assert parts[2] == DONE and parts[4] == Citation(URL, "A", 21)
    assert parts_of(segments_of(parts))[:8] == parts[:8] == loaded(stored(parts))[:8]
    assert (searches_in(OUTPUT), citations_in(OUTPUT)) == (1, 3)
    calls = [Segment(TOOL_CALL, piece_line(0, "{}", "a", "clock") + state_line(0, "done", "9", 0.1))]
    assert parts_of([*calls, *OUTPUT])[2:] == parts[:-1]  # the search begins the next step


@pytest.mark.django_db
@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_a_reply_that_grew_equals_the_stored_one_but_for_the_marks(cut: int) -> None:
    message = reply()
    body = GrowingBody(message)
    for kind, text in OUTPUT[1:]:
        for start in range(0, len(text), cut):
            body.feed([Segment(kind, text[start : start + cut])])
    body.finish()
    message.parts = stored(parts_of(OUTPUT))
    message.text = "".join(part["text"] for part in message.parts if part["type"] == "text")
    html = reply_body(message)
    assert bare(body.snapshot()) == bare(re.sub(r'<sup class="cited">.*?</sup>', "", html))
    assert re.findall(r"\[\d\]", html) == ["[1]", "[1]", "[2]"]
    assert "What &lt;is&gt; new?" in html and "Searched the web" in html
    assert html.index("I search.") < html.index("Searched the web") < html.index("<strong>so</strong>")
    growing = GrowingReply(message)
    growing.add(0, OUTPUT)
    assert not growing.finish(message)  # the message is sent whole, with its marks


@pytest.mark.django_db
def test_a_search_is_one_card_while_it_runs() -> None:
    message = reply()
    body = GrowingBody(message)
    (new,) = body.feed(OUTPUT[2:3])
    assert "Searching the web" in new and 'hx-swap="append"' in new
    (changed,) = body.feed(OUTPUT[3:4])
    assert "What &lt;is&gt; new?" in changed and 'hx-swap="outerHTML"' in changed
    assert body.snapshot().count("web-search") == 1
    message.parts = stored(parts_of(OUTPUT[:4]))  # the reply ended first
    assert "Web search was interrupted" in reply_body(message)


@pytest.mark.django_db
@pytest.mark.parametrize("engine", ["google", "", "https://evil.example/"])
def test_a_search_of_google_can_be_opened_there_and_its_query_is_only_a_query(engine: str) -> None:
    message = reply()
    search = WebSearch("a", 'x&tbm=isch#"><script>alert(1)</script>', "done", engine)
    output = [Segment(WEB_SEARCH, search_line(search)), Segment("text", "So.")]
    message.parts = stored(parts_of(output))
    html = str(reply_body(message))
    links = re.findall(r'<a [^>]*href="([^"]*)"[^>]*>', html)
    assert "<script" not in html
    if engine != "google":
        assert links == []
        return
    (address,) = links
    assert parse_qs(urlsplit(address).query) == {"q": [search.query]}
    assert address.startswith("https://www.google.com/search?q=") and "#" not in address
    assert 'target="_blank" rel="noopener noreferrer nofollow"' in html
    (grown,) = GrowingBody(message).feed(output)
    assert f'href="{address}"' in grown


@pytest.mark.parametrize(
    "source,at,shown",
    [
        ("It is so. Is it?", 9, "It is so.[1] Is it?"),
        ("It is **so** now.", 10, "It is so[1] now."),
        ("It is so.\n\nNext.", 11, "It is so.[1]Next."),
        ("- one\n- two", 8, "one[1]two"),
        ("| a |\n|---|\n| b |", 17, "ab[1]"),
        ("One.\n\n---\n\nTwo.", 9, "One.[1]Two."),
        ("```py\nx = 1\n```", 10, "pyx = 1"),
        ("[a](https://b.example/c) is so.", 15, "a [1] is so."),
        ("[a](https://b.example/(c)) is so.", 2, "a [1] is so."),
        ("See https://b.example/c now.", 12, "See https://b.example/c [1] now."),
        ("`x = 1` is so.", 3, "x = 1[1] is so."),
        ("So $x^2$ is.", 5, "So x2 is."),
        ("Short.", 10_000, "Short.[1]"),
        ("---", 3, ""),
        ("[a]: https://b.example\n\n[a] is", 10, "a is"),
        ("\U000f0002 is not a mark.", 5, "\ufffd is[1] not a mark."),
    ],
)
def test_a_mark_stands_in_running_text_and_changes_nothing_else(source: str, at: int, shown: str) -> None:
    html = cited(source, at)
    if shown is not None:
        assert text_of(html) == shown
    assert_marks_change_nothing(source, html)


def assert_marks_change_nothing(source: str, html: str) -> None:
    marks = re.findall(r'<sup class="cited"><a href="#src-[^"]*">\[\d+\]</a></sup>', html)
    plainly = render_markdown(source.replace("\U000f0002", "\ufffd"), id_prefix="p")
    for mark in marks:
        html = html.replace(mark, "")
    names = re.compile(r"(fn-)[\w-]*(-\d)")
    assert names.sub(r"\1\2", html).replace(" ", "") == names.sub(r"\1\2", plainly).replace(" ", "")


PIECES = st.sampled_from(
    [
        *("# A\n", "- b ", "1. c\n", "`d`", "```\ne\n```\n", "**f** ", "| g | h |\n|---|---|\n| i | j |\n"),
        *(
            "[k](https://l.example/m) ",
            "https://n.example ",
            "> o\n",
            "$p$ ",
            "$$\nq\n$$\n",
            "<b>r</b>",
            "s. ",
        ),
        *("![t](https://u.example)", "[^v]\n\n[^v]: w\n", "***\n", "x\n===\n", "\\", "~~y~~", "_z_"),
        *("s. ", "    code\n", "\n\n", "中文。", " word "),
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PIECES, max_size=8), st.integers(0, 120))
def test_a_mark_anywhere_breaks_no_element(pieces: list[str], at: int) -> None:
    html = cited(source := "".join(pieces), at)
    assert_marks_change_nothing(source, html)
    assert "\U000f0000" not in html and "%F3%B0" not in html
    assert len(re.findall(r'class="cited"', html)) <= 1
    for name in ("a", "pre", "code", "math"):
        for inner in re.findall(rf"<{name}\b[^>]*>(.*?)</{name}>", html, re.DOTALL):
            assert 'class="cited"' not in inner


@pytest.mark.parametrize(
    "url",
    [
        *(
            "javascript:alert(1)",
            "data:text/html,x",
            "//evil.example",
            "mailto:a@b.example",
            "ftp://a.example",
        ),
        *("https://", "https:///a", "https://[bad", "https://a.example\\@b.example", "https://a b.example"),
        *("https://a.example/\x00", "https://a.example/\n", "https://a.example/" + "x" * 2_000, ""),
    ],
)
def test_an_address_that_cannot_be_linked_is_no_source(url: str) -> None:
    assert web_address(url) == ""
    assert citation_line(Citation(url, "A", 1), 0) == ""
    assert sources_of([Citation(url, "A", 1)]) == [] and marks_of([Citation(url, "A", 1)]) == ()


@pytest.mark.django_db
def test_hostile_sources_are_shown_as_text() -> None:
    message = reply()
    title = '"><script>alert(1)</script>\u202egnp.exe\u2066 {% now %}'
    message.parts = stored(
        [
            TextPart("So."),
            Citation("https://user:pass@a.example/'\"><img/src=x>", title, 3),
            Citation("javascript:alert(1)", "Harmless", 3),
            Citation("https://A.EXAMPLE", "", -5),
        ]
    )
    html = render_to_string("chat/_cited_pages.html", {"message": message})
    assert "<script" not in html and "<img" not in html and "\u202e" not in html and "javascript" not in html
    assert html.count("<li") == 2 == html.count('rel="noopener noreferrer nofollow"')
    assert re.findall(r"<bdi[^>]*>([^<]*)</bdi>", html)[1:] == ["a.example", "a.example"]
    assert plain("a\u202eb\x00c\u200b  d\n") == "abc d"


def test_a_mark_between_two_texts_belongs_to_the_first() -> None:
    marks = marks_of([Citation(URL, "A", 0), Citation("https://b.example", "B", 4), Citation(URL, "A", 3)])
    assert marks == ((3, 1), (4, 2))
    assert marks_within(marks, 0, 3) == ((3, 1),) and marks_within(marks, 3, 9) == ((1, 2),)
    many = [Citation(f"https://a.example/{number}", "A", 1) for number in range(MOST_MARKS + 1)]
    assert len(sources_of(many)) == len(marks_of(many)) == MOST_MARKS


@pytest.mark.parametrize("text", ["So.\n" + "---\n" * 5_000, "So." + " " * 300_000])
def test_a_mark_after_much_markup_is_left_out(text: str) -> None:
    assert marked(text, [(len(text), 1)], lambda number: f"[{number}]") == text


@pytest.mark.parametrize("at,stored_at", [(2**64, MOST_PLACE), (-(2**64), 0), (None, None)])
def test_an_absurd_place_is_not_stored(at: int | None, stored_at: int | None) -> None:
    assert json.loads(citation_line(Citation(URL, "A", at), 10))["at"] == stored_at


def test_a_line_of_a_search_that_was_cut_counts_for_nothing() -> None:
    cut = Segment(WEB_SEARCH, search_line(DONE) + '{"id": "b", "query": "{}')
    assert searches_in([cut]) == 1 == len(parts_of([cut]))


def test_metadata_of_a_provider_is_stored_by_every_database() -> None:
    data = {"blocks": [{"title": "A\ud83d", "\x00": [1, None]}]}
    assert storable_part(Opaque("k", data)) == Opaque(
        "k", {"blocks": [{"title": "A\ufffd", "\ufffd": [1, None]}]}
    )


def test_a_message_without_citations_has_no_list() -> None:
    assert render_to_string("chat/_cited_pages.html", {"message": Message(parts=[])}).strip() == ""
