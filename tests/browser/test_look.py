"""The appearance of the page: the hidden chat list, long prompts, the greeting, print, and TeX within its
box."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Person
from tests.browser.test_access import violations
from tests.browser.test_page import DESKTOP, WIDTHS, ask, box
from tests.servers import ServerProcess

LONG_PROMPT = "/demo instant /demo echo Short.\n" + "\n".join(
    f"Line {number} of it." for number in range(1, 61)
)


def toggle(page: Page) -> Locator:
    return page.get_by_role("button", name="Chats")


def sidebar(page: Page) -> Locator:
    return page.get_by_role("navigation", name="Chats")


# --- The list of chats


def test_the_list_of_chats_can_be_hidden_and_stays_so(person: Person) -> None:
    page = person.page
    expect(toggle(page)).to_have_attribute("aria-expanded", "true")
    toggle(page).click()
    expect(sidebar(page)).to_be_hidden()
    expect(toggle(page)).to_be_focused()
    expect(toggle(page)).to_have_attribute("aria-expanded", "false")
    main = page.locator("#chat").bounding_box()
    assert main and main["x"] == 0 and main["width"] == 1280
    ask(page, "/demo instant Without a list")
    page.reload()
    expect(sidebar(page)).to_be_hidden()
    expect(toggle(page)).to_have_attribute("aria-expanded", "false")
    url = page.url
    page.get_by_role("button", name="New chat").click()
    page.wait_for_url(lambda now: now != url)
    expect(sidebar(page)).to_be_hidden()
    expect(toggle(page)).to_have_attribute("aria-expanded", "false")
    toggle(page).press("Enter")
    expect(sidebar(page)).to_be_visible()
    expect(toggle(page)).to_be_focused()
    page.reload()
    expect(sidebar(page)).to_be_visible()


def test_a_shortcut_hides_the_list_without_interrupting_typing(person: Person) -> None:
    page = person.page
    box(page).fill("In the mid")
    page.keyboard.press("Control+Shift+S")
    expect(sidebar(page)).to_be_hidden()
    page.keyboard.type("dle")
    expect(box(page)).to_have_value("In the middle")
    page.keyboard.press("Control+Shift+S")
    expect(sidebar(page)).to_be_visible()
    sidebar(page).get_by_role("button", name="New chat").focus()
    page.keyboard.press("Control+Shift+S")
    expect(sidebar(page)).to_be_hidden()
    expect(toggle(page)).to_be_focused()


def test_a_hidden_list_is_hidden_from_the_first_frame_on(people: Callable[..., Person]) -> None:
    person = people()
    toggle(person.page).click()
    page = person.tab()
    page.add_init_script(
        # A list that is hidden late moves the chat sideways. A notice on a busy machine moves it down.
        "window.shift = 0; new PerformanceObserver(list => {"
        " for (const one of list.getEntries())"
        "  if (one.sources.some(it => it.previousRect.x !== it.currentRect.x)) window.shift += one.value;"
        "}).observe({ type: 'layout-shift', buffered: true });"
    )
    page.goto(person.page.url)
    expect(sidebar(page)).to_be_hidden()
    assert page.evaluate("window.shift") < 0.01
    without_scripts = person.context.browser.new_context(
        storage_state=person.context.storage_state(), java_script_enabled=False, **DESKTOP
    )
    plain = without_scripts.new_page()
    plain.goto(person.page.url)
    expect(sidebar(plain)).to_be_hidden()
    without_scripts.close()


def test_the_page_without_its_list_is_accessible(person: Person) -> None:
    page = person.page
    toggle(page).click()
    ask(page, LONG_PROMPT)
    expect(page.get_by_role("button", name="Show more")).to_be_visible()
    assert violations(page) == []


# --- Long prompts


@WIDTHS
def test_a_long_prompt_shows_its_beginning_until_i_want_more(
    people: Callable[..., Person], options: dict[str, object]
) -> None:
    page = people(**options).page
    ask(page, LONG_PROMPT)
    prompt = page.locator("article[data-role=user]")
    for part in (
        ".messages",
        ".composer",
    ):  # in the middle, with text from its start, and no wider than reads well
        box = page.locator(part).first.evaluate(
            "it => [it.getBoundingClientRect().width, getComputedStyle(it).textAlign]"
        )
        assert 300 < box[0] < 820 and box[1] == "start", (part, box)
    height = "it => it.querySelector('.message-body').clientHeight / innerHeight"
    more = prompt.get_by_role("button", name="Show more")
    expect(more).to_have_attribute("aria-expanded", "false")
    assert prompt.evaluate(height) < 0.5
    more.focus()
    page.keyboard.press("Enter")
    less = prompt.get_by_role("button", name="Show less")
    expect(less).to_be_focused()
    expect(less).to_have_attribute("aria-expanded", "true")
    assert prompt.evaluate(height) > 1
    ask(page, "/demo instant Short")
    expect(page.get_by_role("button", name="Show more")).to_have_count(0)
    expect(less).to_be_visible()  # although the message was sent again meanwhile
    less.focus()
    page.keyboard.press("Enter")
    expect(more).to_be_focused()
    expect(more).to_be_in_viewport()
    assert prompt.first.evaluate(height) < 0.5


def test_without_scripts_a_long_prompt_is_whole(people: Callable[..., Person]) -> None:
    person = people()
    ask(person.page, LONG_PROMPT)
    context = person.context.browser.new_context(
        storage_state=person.context.storage_state(), java_script_enabled=False
    )
    page = context.new_page()
    page.goto(person.page.url)
    body = page.locator("article[data-role=user] .message-body")
    expect(body).to_contain_text("Line 60 of it.")
    assert body.evaluate("it => it.scrollHeight - it.clientHeight") == 0
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    context.close()


def test_the_greeting_says_who_can_read_chats(person: Person) -> None:
    greeting = person.page.locator(".empty")
    expect(greeting).to_contain_text("Administrators who review chats can read them too")
    expect(greeting).to_contain_text("is recorded")


# --- Paper


PRINTED = """
from chat.models import ChatModel, Conversation, Generation, Message, User
owner, model = User.objects.get(email="admin@example.org"), ChatModel.objects.first()
chat = Conversation.objects.create(owner=owner, title="On paper", revision=1, last_position=2)
prompt = Message.objects.create(conversation=chat, position=1, role="user", text="Print this.",
    added_revision=1, revision=1)
text = "\\n\\n".join(f"Paragraph {number}. " + "Words of it. " * 30 for number in range(5))
text += "\\n\\n```python\\n" + "\\n".join(f"line_{number} = 'code'" for number in range(70))
text += "\\nlong = '" + "wide " * 60 + "END-OF-LINE'\\n```\\n\\nThe last words."
reply = Message.objects.create(conversation=chat, parent=prompt, position=2, role="assistant", text=text,
    added_revision=1, revision=1)
Generation.objects.create(conversation=chat, message=reply, model=model, model_label="Demo",
    status="complete")
chat.head = reply
chat.save()
print(chat.pk)
"""


@pytest.mark.needs_poppler
def test_on_paper_code_begins_below_its_header_and_long_lines_wrap(
    person: Person, server: ServerProcess, tmp_path: Path
) -> None:
    page, paper = person.page, tmp_path / "chat.pdf"
    chat = server.manage("shell", "--verbosity=0", stdin=PRINTED).strip()
    page.goto(f"{server.url}/conversations/{chat}/")
    expect(page.locator("article")).to_have_count(2)
    page.pdf(path=paper, format="A4")
    printed = subprocess.run(["pdftotext", "-layout", paper, "-"], capture_output=True, text=True, check=True)
    sheets = printed.stdout.split("\f")
    first = next(sheet for sheet in sheets if "Paragraph 4." in sheet)
    assert re.search(r"python\s+line_0 = 'code'\s+line_1 = ", first), "no header stands alone"
    assert printed.stdout.count("line_") == 70
    assert "END-OF-LINE" in printed.stdout, "the end of a long line is not cut"
    assert "The last words." in printed.stdout
    assert len([sheet for sheet in sheets if sheet.strip()]) <= 3, "no sheet is left half empty"
    assert not re.search(r"Copy|Retry|Show more", printed.stdout)


# --- TeX


ESCAPES = {
    "raised": r"$\raisebox{1000em}{OVER}$",
    "lowered": r"$\raisebox{-1000em}{OVER}$",
    "nested": "$" + r"\raisebox{2em}{" * 30 + "OVER" + "}" * 30 + "$",
    "wide": r"$x" + r"\hspace{900em}y" * 40 + "$",
    "kern": r"$$x\kern90000em y$$",
    "bar": r"$\genfrac{}{}{900em}{}{a}{b}$",
}


def test_tex_draws_nothing_outside_its_reply_and_widens_nothing(person: Person) -> None:
    page = person.page
    ask(page, "/demo instant /demo echo Before")
    before = page.locator("article").nth(1).locator(".message-body")
    _scroll_to(before)
    clean = before.screenshot()
    high = 0.0
    for name, formula in ESCAPES.items():
        reply = ask(page, f"/demo instant /demo echo {formula}")
        expect(reply.locator("math")).to_be_attached()
        figures: dict[str, Any] = page.evaluate(
            "() => { const it = document.getElementById('scroller');"
            "return { sideways: it.scrollWidth - it.clientWidth, high: it.scrollHeight / innerHeight }; }"
        )
        assert figures["sideways"] <= 0, name
        assert figures["high"] - high < 4, name
        high = figures["high"]
        _scroll_to(before)
        page.mouse.move(5, 5)
        assert before.screenshot() == clean, f"{name}: the reply before it looks as it did"


def _scroll_to(message: Locator) -> None:
    message.evaluate("it => { document.activeElement.blur(); it.scrollIntoView({ block: 'center' }); }")


def test_a_formula_stands_on_the_line_of_its_text(person: Person) -> None:
    reply = ask(person.page, r"/demo instant /demo echo before $x$ after `code`")
    bottoms = reply.locator("p").evaluate(
        "it => { const range = document.createRange(); range.selectNodeContents(it.firstChild);"
        "return [range, it.querySelector('mi')].map(one => one.getBoundingClientRect().bottom); }"
    )
    assert bottoms[1] == pytest.approx(bottoms[0], abs=5)
