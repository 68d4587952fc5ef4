"""The model list with two hundred models, in real Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Person
from tests.browser.test_access import violations
from tests.browser.test_page import PHONE, WIDTHS, box
from tests.servers import ServerProcess

MANY = """
from chat.models import ChatModel, Endpoint
for slug, names in {
    "compatible": [f"gpt-{number}" for number in range(1, 151)],
    "openai": [f"o{number}-mini" for number in range(1, 51)],
}.items():
    Endpoint.objects.filter(slug=slug).delete()
    provider = Endpoint.objects.create(slug=slug, name=slug.title(), position=10)
    ChatModel.objects.bulk_create(ChatModel(endpoint=provider, name=name) for name in names)
"""


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server whose catalog has 200 models. Its providers cannot be reached."""
    nowhere = "http://127.0.0.1:9/v1"
    env = {"OPENAI_COMPATIBLE_URL": nowhere, "OPENAI_BASE_URL": nowhere, "OPENAI_API_KEY": "sk-none"}
    process = ServerProcess(tmp_path_factory.mktemp("crowded") / "data", env).start()
    process.manage("shell", "--verbosity=0", stdin=MANY)
    yield process
    process.stop()


def select(page: Page) -> Locator:
    return page.get_by_role("combobox", name="Model")


def chosen(page: Page) -> str:
    return str(select(page).evaluate("it => it.selectedOptions[0].label"))


def in_view(entry: Locator) -> bool:
    """Returns whether the whole entry is between the heading and the end of the list."""
    return bool(
        entry.evaluate(
            "it => { const [list, own] = [it.closest('.models-list'), it]"
            ".map(one => one.getBoundingClientRect());"
            "return own.top >= list.top + 20 && own.bottom <= list.bottom; }"
        )
    )


@WIDTHS
def test_the_list_opens_at_the_current_model_of_two_hundred(
    people: Callable[..., Person], crowded: ServerProcess, options: dict[str, object]
) -> None:
    page = people(server=crowded, **options).page
    select(page).select_option(label="gpt-100")
    select(page).focus()
    page.keyboard.press("Enter")
    panel = page.get_by_role("dialog", name="Choose a model")
    expect(panel.get_by_role("searchbox")).to_be_focused()
    current = panel.locator("[aria-current]")
    expect(current).to_have_text(re.compile(r"^gpt-100"))
    assert in_view(current)
    page.keyboard.press("ArrowDown")
    expect(current).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(panel.get_by_role("button", name=re.compile("^gpt-101"))).to_be_focused()
    for _ in range(8):
        page.keyboard.press("ArrowUp")
    above = panel.get_by_role("button", name=re.compile("^gpt-93"))
    expect(above).to_be_focused()
    assert in_view(above), "the heading of the provider does not cover it"
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(select(page)).to_be_focused()
    assert chosen(page) == "gpt-100"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("document.body.scrollTop + document.documentElement.scrollTop") == 0


def test_enter_in_an_empty_search_keeps_the_current_model(
    people: Callable[..., Person], crowded: ServerProcess
) -> None:
    page = people(server=crowded).page
    select(page).select_option(label="gpt-7")
    page.keyboard.press("Control+Shift+M")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Choose a model")).to_be_hidden()
    assert chosen(page) == "gpt-7"


def test_typing_continues_after_a_choice(people: Callable[..., Person], crowded: ServerProcess) -> None:
    page = people(server=crowded).page
    box(page).fill("A question ")
    select(page).click()
    page.keyboard.type("o12-mini")
    expect(page.locator(".models-provider:visible")).to_have_text(["Openai"])
    page.keyboard.press("Enter")
    assert chosen(page) == "o12-mini"
    expect(box(page)).to_be_focused()
    select(page).click()
    page.get_by_role("group", name="Compatible").get_by_role("button", name=re.compile("^gpt-3$")).click()
    expect(box(page)).to_be_focused()
    page.keyboard.type("goes on")
    expect(box(page)).to_have_value("A question goes on")


def test_on_a_touch_screen_choosing_a_model_opens_no_keyboard(
    people: Callable[..., Person], crowded: ServerProcess
) -> None:
    page = people(server=crowded, **PHONE).page
    select(page).click()
    page.get_by_role("button", name=re.compile("^gpt-3$")).click()
    expect(select(page)).to_be_focused()


def test_without_scripts_the_browsers_own_list_has_the_same_groups(
    people: Callable[..., Person], crowded: ServerProcess
) -> None:
    person = people(server=crowded)
    context = person.context.browser.new_context(
        storage_state=person.context.storage_state(), java_script_enabled=False
    )
    page = context.new_page()
    page.goto(crowded.url)
    groups = page.locator("#model optgroup")
    assert [group.get_attribute("label") for group in groups.all()] == ["Compatible", "Openai", "Demo"]
    assert groups.first.locator("option").all_text_contents()[8:11] == ["gpt-9", "gpt-10", "gpt-11"]
    expect(page.get_by_role("dialog", name="Choose a model")).to_be_hidden()
    context.close()


def test_the_list_is_accessible(people: Callable[..., Person], crowded: ServerProcess) -> None:
    page = people(server=crowded, reduced_motion="reduce").page
    select(page).click()
    expect(page.get_by_role("searchbox")).to_be_focused()
    assert violations(page) == []
