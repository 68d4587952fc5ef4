"""The same rules with the real htmx in real Chromium."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import batched

import pytest
from playwright.sync_api import Browser

from chat.rendering.markdown import render_markdown
from tests.rendering.bad_inputs import HOSTILE
from tests.rendering.chromium import ORIGIN, ReplyPage, frames, reply_page, tracing
from tests.rendering.documents import answers, examples, random_cut, random_document, tokens

pytestmark = pytest.mark.needs_chromium

HARM = """() => {
  const found = [];
  const forbidden = /^(script|style|iframe|object|embed|form|svg|template|link|base|meta|title)$/;
  for (const element of document.querySelectorAll(".message-body *")) {
    if (forbidden.test(element.localName))
      found.push(element.outerHTML);
    for (const { name, value } of element.attributes)
      if (/^(on|hx-|ws-|sse-|style|id$|name$|srcdoc)/.test(name)
        || (name === "href" && !/^(https?|mailto):/.test(element.href))
        || (name === "src" && new URL(element.src).origin !== location.origin)) found.push(element.outerHTML);
  }
  return found;
}"""


CLIPBOARD = """Object.defineProperty(navigator, "clipboard", {
  value: { writeText: async (text) => { window.copied = text; } },
})"""
SWAP_ALL = "async (frames) => { for (const text of frames) await htmxSwap(text); }"


@pytest.fixture
def replies(browser: Browser) -> Iterator[ReplyPage]:
    with reply_page(browser) as page:
        yield page


def assert_streams(replies: ReplyPage, documents: list[tuple[str, list[str]]]) -> None:
    batch = [
        [f"b-{number}", *off_the_loop.submit(both, f"b-{number}", text, chunks).result()]
        for number, (text, chunks) in enumerate(documents)
    ]
    differing = replies.page.evaluate(
        "async (batch) => (await Promise.all(batch.map((one) => streamReply(...one))))"
        ".flatMap((difference, number) => (difference ? [[number, ...difference]] : []))",
        batch,
    )
    assert differing == [], [documents[number] for number, *_ in differing]
    assert replies.alarms == []


# Playwright's event loop runs on the test's thread, and rendering on a loop waits for no colours.
off_the_loop = ThreadPoolExecutor(1)


def both(name: str, text: str, chunks: list[str]) -> tuple[list[str], str]:
    return frames(name, chunks), render_markdown(text)


def test_specification_examples_streamed_by_htmx_equal_the_whole(replies: ReplyPage) -> None:
    for together in batched(enumerate(examples()), 10, strict=False):
        whole = [(text, list(text)) for _, text in together]
        assert_streams(replies, whole + [(text, random_cut(text, random.Random(n))) for n, text in together])


def test_answers_streamed_by_htmx_equal_the_whole(replies: ReplyPage) -> None:
    for text in answers().values():
        assert_streams(replies, [(text, tokens(text))])


def test_random_documents_streamed_by_htmx_equal_the_whole(replies: ReplyPage) -> None:
    source, known = random.Random(7), examples()
    for _ in range(15):
        documents = [random_document(source, known) for _ in range(10)]
        assert_streams(replies, [(text, random_cut(text, source)) for text in documents])


def test_hostile_text_streamed_by_characters_runs_and_loads_nothing(replies: ReplyPage) -> None:
    page = replies.page
    replies.requests.clear()
    title = page.title()
    for number, text in enumerate(HOSTILE):
        name = f"evil-{number}"
        page.evaluate("startReply", name)
        page.evaluate(SWAP_ALL, frames(name, list(text)))
    for element in page.query_selector_all(".message-body a, .message-body code, .message-body p"):
        element.dispatch_event("mouseover")
        element.dispatch_event("focus")
    assert page.evaluate(HARM) == []
    assert page.evaluate("document.querySelectorAll('[id^=evil-]').length") == len(HOSTILE)
    assert page.evaluate("new Promise((done) => requestIdleCallback(() => done(true)))")
    assert [url for url in replies.requests if not url.startswith(f"{ORIGIN}/")] == []
    assert replies.alarms == []
    assert page.title() == title


def test_no_finished_block_moves_no_task_is_long_and_no_attribute_stays(replies: ReplyPage) -> None:
    text = "\n\n".join(text for name, text in answers().items() if name not in ("references", "footnotes"))
    sent = frames("b-long", by(text, 60))
    with tracing(replies.page) as tasks:
        figures = replies.page.evaluate("(args) => playReply(...args)", ["b-long", sent, 0])
    assert figures["frames"] > 300
    assert figures["finished"] == 0
    assert len(tasks) > figures["frames"]
    assert max(cpu for cpu, _ in tasks) < 50  # the clock also counts the load of the machine
    leftovers = "[class*=htmx], [class=''], [data-htmx-powered]"
    left = replies.page.evaluate("(css) => document.querySelectorAll(css).length", leftovers)
    assert left == 0


def by(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]
