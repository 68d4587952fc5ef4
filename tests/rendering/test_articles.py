"""Usual messages are made from skeletons. Each equals what its template renders."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import strip_tags
from django.utils.translation import override

from chat.models import Conversation, Feedback, Generation, Message, Role, Status, User
from chat.models.message import Sibling
from chat.parts import (
    Citation,
    FilePart,
    NoticePart,
    Opaque,
    ReasoningPart,
    SourcePart,
    TextPart,
    ToolCall,
    WebSearch,
    stored,
)
from chat.rendering import articles, fragments, skeleton
from chat.rendering.reply_facts import reply_facts

HOSTILE = f"<b>&'\" {skeleton.TEXT} {skeleton.BODY} {skeleton.MESSAGE} \\1 {{{{ x }}}}"
NOW = timezone.now()
PLAIN = stored([ReasoningPart("why"), TextPart(HOSTILE), Opaque("demo", {"a": 1})])


def message(status: str = "", **fields: Any) -> Message:
    chat = Conversation(owner=User(pk=1), title=HOSTILE, **fields.pop("chat", {}))
    siblings = fields.pop("siblings", 1)
    verdicts = fields.pop("verdicts", [])
    generation = fields.pop("generation", {})
    made = Message(
        **{
            "conversation": chat,
            "position": 4,
            "role": Role.ASSISTANT if status else Role.USER,
            "text": HOSTILE,
            "parts": PLAIN,
            **fields,
        }
    )
    made.siblings = [Sibling(made.pk, True), *(Sibling(uuid4(), False) for _ in range(siblings - 1))]
    made._prefetched_objects_cache = {"feedback": verdicts}  # type: ignore[attr-defined]
    if status:
        made.generation = Generation(
            **{
                "conversation": chat,
                "message": made,
                "status": status,
                "model_label": HOSTILE,
                "started_at": NOW,
                "first_token_at": NOW,
                "finished_at": NOW + timedelta(seconds=2),
                **generation,
            }
        )
    return made


@pytest.fixture(params=["en", "de"])
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    with override(request.param):
        yield request.param


def by_template(made: Message, body: str | None, reasoning: str) -> str:
    context = {"message": made, "body": body, "reasoning": reasoning}
    return render_to_string("chat/_message.html", context)


def is_usual(made: Message, body: str | None, reasoning: str) -> bool:
    """Checks the article. Returns whether it was made from a skeleton."""
    expected, found = (
        by_template(made, body, reasoning),
        fragments.message(made, body=body, reasoning=reasoning),
    )
    seconds = {f'data-now="{int(NOW.timestamp()) + n}"' for n in range(-5, 600)}
    for each in seconds:
        expected, found = expected.replace(each, "data-now"), found.replace(each, "data-now")
    assert found == expected
    return articles.article(made, body, reasoning) is not None


@pytest.mark.parametrize("text", [HOSTILE, "", "line\n" * 30, "w" * 2000])
@pytest.mark.parametrize("client_id", [None, UUID(int=5)])
def test_a_prompt_is_what_its_template_renders(language: str, text: str, client_id: UUID | None) -> None:
    assert is_usual(message(text=text, client_id=client_id), None, "")


@pytest.mark.parametrize("reasoning", ["", HOSTILE])
@pytest.mark.parametrize("body", ["", f"<p>{skeleton.LABEL}</p>"])
@pytest.mark.parametrize(
    "generation",
    [
        {},
        {"first_text_at": NOW + timedelta(seconds=1.5), "output_tokens": 7, "cost": 0},
        {"output_tokens": 1234, "fell_back_from": HOSTILE, "searches": 2, "parameters": {"temperature": 1}},
    ],
)
@pytest.mark.parametrize("status", ["running", "complete"])
def test_a_reply_is_what_its_template_renders(
    language: str, status: str, body: str, reasoning: str, generation: dict[str, Any]
) -> None:
    if status == "running":
        generation = {**generation, "finished_at": None}
    assert is_usual(message(status, generation=generation), body, reasoning)


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("en", "A &lt;b&gt; failed, so M answered. 1234 tokens · 2.5\xa0s · 494/s · 1 search · $0.075"),
        (
            "de",
            "A &lt;b&gt; antwortete nicht, darum hat M geantwortet. "
            "1234 Tokens · 2,5\xa0s · 494/s · 1 Suche · 0,075 $",
        ),
    ],
)
def test_the_line_below_a_reply_says_what_it_took(code: str, line: str) -> None:
    facts = {
        "fell_back_from": "A <b>",
        "model_label": "M",
        "output_tokens": 1234,
        "searches": 1,
        "cost": Decimal("0.07500000"),
        "finished_at": NOW + timedelta(seconds=2.5),
    }
    with override(code):
        assert (
            reply_facts(message("complete", generation=facts).generation)
            == f'<span class="facts">{line}</span>'
        )
        brief = message("complete", generation={"output_tokens": 5, "finished_at": NOW}).generation
        assert "s" not in strip_tags(reply_facts(brief)).replace("tokens", "").replace("Tokens", "")
        assert strip_tags(reply_facts(message("complete").generation)) == ""
        begun = NOW - timedelta(seconds=0.5)
        brief.started_at, brief.first_token_at = begun, begun + timedelta(seconds=0.25)
        beside = strip_tags(reply_facts(brief, is_beside=True)).replace("\xa0", " ").replace(",", ".")
        assert "0.5 s" in beside and "0.2 s" in beside and "20/s" in beside


@pytest.mark.django_db
@pytest.mark.parametrize(
    "fields",
    [
        *({"status": status} for status in Status.values if status not in {"running", "complete"}),
        {"siblings": 2},
        {"status": "complete", "siblings": 3},
        {"status": "complete", "verdicts": [Feedback(is_good=False)]},
        {"chat": {"sent_from": 4}},
        {"status": "running", "chat": {"sent_from": 4}},
        {"status": "running", "generation": {"started_at": None}},
        {"status": "complete", "parts": stored([Citation("https://example.org/", "A page", 3)])},
        {"status": "complete", "parts": stored([FilePart("ab", "image/png", "a.png", str(uuid4()))])},
        {"parts": stored([FilePart("ab", "image/png", "a.png", str(uuid4()))])},
        {"status": "complete", "parts": stored([NoticePart("Left out:\na.txt")])},
        {"status": "complete", "parts": stored([SourcePart("a.txt", "text", 2)])},
        {"status": "complete", "parts": stored([ToolCall("1", "add", "{}")])},
        {"status": "complete", "parts": stored([WebSearch("1", "words", "done")])},
    ],
    ids=lambda fields: "-".join(fields),
)
def test_an_unusual_message_is_rendered_by_its_template(fields: dict[str, Any]) -> None:
    made = message(**fields)
    assert not is_usual(made, "" if made.reply else None, "")


def test_a_prompt_without_a_reply_is_rendered_by_its_template() -> None:
    made = message()
    made.conversation.head = made
    assert not is_usual(made, None, "")


@pytest.mark.parametrize("flags", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("preset", ["", HOSTILE])
@pytest.mark.parametrize("title", ["", HOSTILE])
def test_the_state_of_a_chat_is_what_its_template_renders(
    language: str, title: str, preset: str, flags: tuple[bool, bool]
) -> None:
    chat = Conversation(owner=User(pk=1), title=title, preset_name=preset, preset_number=3, revision=7)
    is_shortened, needs_approval = flags
    for running in (None, message("running")):
        context = {
            "conversation": chat,
            "running": running,
            "is_shortened": is_shortened,
            "needs_approval": needs_approval,
        }
        html = render_to_string("chat/streams/conversation_changed.html", context)
        found = fragments.conversation_state(
            chat, running, is_shortened=is_shortened, needs_approval=needs_approval
        )
        assert found == fragments.revision(7) + html
