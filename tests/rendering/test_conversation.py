"""One viewer's page: the output of a call can be swapped as one text, and the result equals a fresh page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from chat.live.changes import ConversationChanged, ReplyGrew
from chat.live.reply_log import RetryWait, Segment
from chat.models import Conversation, Generation, Message, User
from chat.rendering import dom, fragments
from chat.rendering import growing_body as growing_module
from chat.rendering.conversation import ConversationView
from chat.rendering.incremental import IncrementalRenderer
from tests.faults.dom import parse, swap
from tests.rendering.chromium import chromium, reply_page
from tests.rendering.documents import answers

pytestmark = pytest.mark.django_db

# Each entry is the output between two frames.
FLUSHES = [
    [Segment("reasoning", "I wonder"), Segment("text", "# Title\n\n- one\n- t")],
    [Segment("text", "wo\n\n  more\n\n```py\nx = 1")],
    [Segment("text", "\n```\n\nNote[^1]\n\n| a |\n|---|\n| 1 |\n\nend")],
]
WHOLE = "".join(segment.text for flush in FLUSHES for segment in flush if segment.kind == "text")
PLACES = "".join(
    f'<div id="{name}"></div>'
    for name in (
        *(dom.REVISION, dom.EARLIER, "live-status", "composer-action"),
        *("conversation-title", "preset-used"),
    )
)


@dataclass
class Talk:
    """A conversation with running replies, as one viewer's view receives it."""

    conversation: Conversation
    view: ConversationView

    def reply(self) -> Message:
        message = Message.objects.create(
            conversation=self.conversation,
            position=self.conversation.messages.count() + 1,
            role="assistant",
            added_revision=1,
            revision=1,
        )
        Generation.objects.create(
            conversation=self.conversation, message=message, model_label="demo", status="running"
        )
        return message

    def opens(self, *messages: Message) -> list[str]:
        return self.view.render([ConversationChanged(self.conversation, list(messages), {}, 0, whole=True)])

    def grows(self, message: Message, flush: list[Segment]) -> list[str]:
        return self.view.render([ReplyGrew(message.pk, flush)])

    def ends(self, message: Message, text: str, reasoning: str = "") -> list[str]:
        message.text, message.parts = text, [{"type": "reasoning", "text": reasoning}] if reasoning else []
        Generation.objects.filter(message=message).update(status="complete")
        message.generation.refresh_from_db()
        message.save()
        return self.view.render([ConversationChanged(self.conversation, [message], {}, 1, whole=False)])


@pytest.fixture
def talk(person: User) -> Talk:
    return Talk(Conversation.objects.create(owner=person, revision=2), ConversationView())


def test_each_call_is_one_text_and_its_swaps_end_as_the_fresh_page(talk: Talk) -> None:
    message = talk.reply()
    texts = [talk.opens(message), *(talk.grows(message, flush) for flush in FLUSHES)]
    texts.append(talk.ends(message, WHOLE + " of it", "I wonder why"))
    assert [len(steps) for steps in texts] == [1] * len(texts)
    page = parse(f'<div id="{dom.MESSAGES}"></div>{PLACES}')
    for (text,) in texts:
        swap(page, text)
    assert page.get("article").canonical() == parse(fragments.message(message)).get("article").canonical()


@pytest.mark.needs_chromium
def test_htmx_makes_the_fresh_page_of_each_text(talk: Talk) -> None:
    message = talk.reply()
    texts = [*talk.opens(message), *(text for flush in FLUSHES for text in talk.grows(message, flush))]
    texts += talk.ends(message, WHOLE + " of it", "I wonder why")
    fresh = fragments.message(message)
    with chromium() as browser, reply_page(browser) as replies:
        page = replies.page
        page.evaluate("(html) => document.body.insertAdjacentHTML('beforeend', html)", PLACES)
        for text in texts:
            page.evaluate("htmxSwap", text)
        difference = page.evaluate(
            """(fresh) => {
              const shown = document.querySelector("article"), made = document.createElement("div");
              made.innerHTML = fresh;
              const wanted = made.querySelector("article");
              for (const article of [shown, wanted]) {
                article.querySelectorAll("[name=csrfmiddlewaretoken]").forEach((field) => field.remove());
                article.normalize();
                for (const marked of article.querySelectorAll("[data-htmx-powered]"))
                  marked.removeAttribute("data-htmx-powered");
              }
              return shown.isEqualNode(wanted) ? null : [shown.outerHTML, wanted.outerHTML];
            }""",
            fresh,
        )
        assert difference is None
        assert replies.alarms == []


def test_the_title_of_the_reasoning_changes_with_the_answer(talk: Talk) -> None:
    message = talk.reply()
    (opened,) = talk.opens(message)
    (thinking,) = talk.grows(message, [Segment("reasoning", "hm")])
    (answering,) = talk.grows(message, [Segment("reasoning", "!"), Segment("text", "so")])
    (more,) = talk.grows(message, [Segment("text", " it is")])
    assert f'<summary id="{dom.reasoning_title(message.pk)}">Reasoning…</summary>' in opened
    assert "Reasoning…" in thinking
    assert f'hx-target="#{dom.reasoning_title(message.pk)}" hx-swap="textContent">Reasoning<' in answering
    assert "Though" not in more


def test_reasoning_after_the_first_words_is_shown_as_reasoning(talk: Talk) -> None:
    """As on a page that is opened at that time."""
    message = talk.reply()
    talk.opens(message)
    talk.grows(message, [Segment("text", "So")])
    (thinking,) = talk.grows(message, [Segment("reasoning", "hm")])
    (opened,) = talk.view.render(
        [
            ConversationChanged(
                talk.conversation, [message], {message.pk: [Segment("text", "So")]}, 0, whole=True
            )
        ]
    )
    title = f'<summary id="{dom.reasoning_title(message.pk)}">Reasoning</summary>'
    assert title in thinking
    assert title in opened


def test_a_page_opened_in_mid_thought_says_what_the_streamed_one_says(talk: Talk) -> None:
    message = talk.reply()
    thought, word = [Segment("reasoning", "hm")], [Segment("text", "so")]
    for segments, title in ((thought, "Reasoning…"), (thought + word, "Reasoning")):
        streamed = parse(f'<div id="{dom.MESSAGES}"></div>{PLACES}')
        for text in [*talk.opens(message), *talk.grows(message, segments)]:
            swap(streamed, text)
        opened = parse(f'<div id="{dom.MESSAGES}"></div>{PLACES}')
        outputs = {message.pk: segments}
        change = ConversationChanged(talk.conversation, [message], outputs, 0, whole=True)
        for text in ConversationView().render([change]):
            swap(opened, text)
        for page in (streamed, opened):
            assert f">{title}<" in page.get(f"#{dom.reasoning_title(message.pk)}").html()


def test_a_wait_for_another_attempt_says_how_many_there_are_and_no_empty_seconds() -> None:
    far, near = (fragments.reply_waits(uuid4(), RetryWait(2, seconds)) for seconds in (4.4, 0.3))
    assert "The provider did not answer. Attempt 2 of 3 starts in 4 s…" in far
    assert "The provider did not answer. Attempt 2 of 3…" in near


@pytest.mark.parametrize("first_token_after", [2, None])
def test_a_reply_that_a_sweep_ended_says_nothing_of_its_times(
    talk: Talk, first_token_after: int | None
) -> None:
    """A sweep only has the time at which it found the reply; a process that was asked to stop has the time of
    the stop."""
    message, begun = talk.reply(), timezone.now() - timedelta(seconds=17)
    message.text, message.parts = "So far", [{"type": "reasoning", "text": "hm"}]
    Generation.objects.filter(message=message).update(
        status="interrupted",
        error_code="server_stopped",
        output_tokens=30,
        started_at=begun,
        first_token_at=begun + timedelta(seconds=first_token_after) if first_token_after else None,
        finished_at=begun + timedelta(seconds=17),
    )
    message.generation.refresh_from_db()
    html = fragments.message(message)
    assert "30 tokens" in html
    for words in ("Reasoned for 17\N{NO-BREAK SPACE}s", "· 17\N{NO-BREAK SPACE}s", "· 2/s"):
        assert (words in html) is bool(first_token_after)


def test_the_last_words_grow_what_is_shown_and_repeat_nothing(talk: Talk) -> None:
    message = talk.reply()
    talk.opens(message)
    talk.grows(message, [Segment("text", "- Alpha\n- Beta\n- Gam")])
    (last,) = talk.ends(message, "- Alpha\n- Beta\n- Gamma\n\nThe end")
    assert "Alpha" not in last
    assert last.startswith(
        f'<hx-partial hx-target="#{dom.body(message.pk)} &gt; :last-child &gt; :last-child" hx-swap="append">'
        "ma</hx-partial>"
    )


def test_footnotes_of_two_messages_lead_each_to_its_own_streamed_as_stored(talk: Talk) -> None:
    text = answers()["footnotes"]
    messages = [talk.reply(), talk.reply()]
    texts = talk.opens(*messages)
    for at in range(0, len(text), 7):
        for message in messages:
            texts += talk.grows(message, [Segment("text", text[at : at + 7])])
    for message in messages:
        texts += talk.ends(message, text)
    page = parse(f'<div id="{dom.MESSAGES}"></div>{PLACES}')
    for one in texts:
        swap(page, one)
    render_cache = [page.get(f"#{dom.body(message.pk)}").html() for message in messages]
    stored = [
        parse(fragments.message(message)).get(f"#{dom.body(message.pk)}").html() for message in messages
    ]
    assert render_cache == stored
    assert [note_links(body) for body in render_cache] == [note_ids(body) for body in render_cache]
    assert note_ids(render_cache[0]).isdisjoint(note_ids(render_cache[1]))


def note_links(html: str) -> set[str]:
    return set(re.findall(r'href="#(fn-[\w-]+)"', html))


def note_ids(html: str) -> set[str]:
    found = re.findall(r' id="(fn-[\w-]+)"', html)
    assert found
    assert len(set(found)) == len(found)
    return set(found)


def test_long_text_is_slow_and_long_code_is_not(talk: Talk) -> None:
    message, other = talk.reply(), talk.reply()
    talk.opens(message, other)
    assert not talk.view.takes_long([ReplyGrew(message.pk, [Segment("text", "```py\nx = 1\n```\n")])])
    assert not talk.view.takes_long([ReplyGrew(other.pk, [Segment("text", "Hello")])])
    assert talk.view.takes_long([ReplyGrew(other.pk, [Segment("reasoning", "hm " * 3_000)])])
    many = Message(text="", parts=[{"type": "web_search", "id": str(number)} for number in range(100)])
    assert talk.view.takes_long([ConversationChanged(talk.conversation, [many], {}, 1, whole=False)])
    message.text = "```py\nx = 1\ny = 2\n```"
    assert not talk.view.takes_long([ConversationChanged(talk.conversation, [message], {}, 1, whole=False)])
    message.text *= 1_000
    assert talk.view.takes_long([ConversationChanged(talk.conversation, [message], {}, 1, whole=False)])


def test_the_first_message_that_the_model_is_sent_is_marked_live_and_on_a_fresh_page(talk: Talk) -> None:
    for _ in range(3):
        talk.reply()
    Generation.objects.update(status="complete")
    page, fresh = (parse(f'<div id="{dom.MESSAGES}"></div>{PLACES}') for _ in range(2))
    for text in talk.opens(*Message.objects.shown()):
        swap(page, text)
    Conversation.objects.update(sent_from=2)
    messages = list(Message.objects.shown())
    conversation = messages[0].conversation
    (news,) = talk.view.render([ConversationChanged(conversation, messages[1:2], {}, 2, whole=False)])
    swap(page, news)
    (opened,) = ConversationView().render([ConversationChanged(conversation, messages, {}, 0, whole=True)])
    swap(fresh, opened)
    assert page.get(f"#{dom.MESSAGES}").canonical() == fresh.get(f"#{dom.MESSAGES}").canonical()
    assert opened.count('role="note"') == 1
    second = opened.index(dom.message(messages[1].pk))
    assert second < opened.index('role="note"') < opened.index(dom.message(messages[2].pk))
    assert "Older messages are no longer sent" in news, "read out, once"
    assert "Older messages are no longer sent" not in opened


def test_viewers_of_one_reply_share_one_renderer_and_see_the_same(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for late viewers, and for those who receive the output in other pieces."""
    made: list[IncrementalRenderer] = []

    class Counted(IncrementalRenderer):
        def __init__(self, *, id_prefix: str = "") -> None:
            super().__init__(id_prefix=id_prefix)
            made.append(self)

    monkeypatch.setattr(growing_module, "IncrementalRenderer", Counted)
    message = talk.reply()
    views = [talk.view, *(ConversationView() for _ in range(9))]
    pages = [parse(f'<div id="{dom.MESSAGES}"></div>{PLACES}') for _ in views]
    whole = [ConversationChanged(talk.conversation, [message], {}, 0, whole=True)]
    for view, page in zip(views, pages, strict=True):
        for text in view.render(whole):
            swap(page, text)
    output = [segment for flush in FLUSHES for segment in flush]
    for number, flush in enumerate(FLUSHES):
        for view, page in zip(views[number:], pages[number:], strict=True):
            for text in view.render([ReplyGrew(message.pk, flush)]):
                swap(page, text)
    for late in range(1, len(FLUSHES)):  # the one that was left out receives the missing output in one piece
        missed = [segment for flush in FLUSHES[late:] for segment in flush]
        for text in views[late - 1].render([ReplyGrew(message.pk, missed)]):
            swap(pages[late - 1], text)
    joined = parse(f'<div id="{dom.MESSAGES}"></div>{PLACES}')
    change = ConversationChanged(talk.conversation, [message], {message.pk: output}, 0, whole=True)
    for text in ConversationView().render([change]):
        swap(joined, text)
    assert len(made) == 1
    for page in pages:
        assert page.get("article").canonical() == joined.get("article").canonical()
