"""The parameters of a chat beside its model, in real Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Person
from tests.browser.test_access import violations
from tests.browser.test_page import WIDTHS, ask
from tests.servers import ServerProcess

RANGES = """
from chat.models import ChatModel
ChatModel.objects.filter(name="demo").update(takes_temperature=True, reasons=True, max_output_tokens=5000)
other = ChatModel.objects.exclude(name="demo").filter(endpoint_id="demo")
other.update(reasons=True, highest_effort="low", max_output_tokens=2000)
"""


# Other files use the same server.
BEFORE = """
from chat.models import ChatModel
from chat.providers.demo import MODELS
for info in MODELS:
    ChatModel.objects.filter(endpoint_id="demo", name=info.name).update(
        takes_temperature=None,
        reasons=info.reasons,
        highest_effort="",
        max_output_tokens=info.max_output_tokens,
    )
"""


@pytest.fixture(scope="module", autouse=True)
def ranges(server: ServerProcess) -> Iterator[None]:
    server.manage("shell", "--verbosity=0", stdin=RANGES)
    yield
    server.manage("shell", "--verbosity=0", stdin=BEFORE)


@WIDTHS
def test_the_parameters_of_a_chat_are_set_by_keyboard_and_follow_its_model(
    people: Callable[..., Person], options: dict[str, object]
) -> None:
    page = people(**options).page
    model = page.get_by_role("combobox", name="Model")
    model.select_option(label="Demo")
    panel = page.get_by_role("button", name="Parameters")
    panel.press("Enter")
    length = page.get_by_role("spinbutton", name="Longest reply, in tokens")
    temperature = page.get_by_role("spinbutton", name="Temperature")
    effort = page.get_by_role("combobox", name="Reasoning effort")
    expect(page.locator("#parameter-output")).to_have_text("1–5,000")
    length.press_sequentially("9000")
    length.press("Tab")
    expect(length).to_have_value("5000")  # the nearest that the model allows
    expect(page.get_by_text("They were set to the nearest ones.")).to_be_visible()
    temperature.press_sequentially("0.5")
    effort.select_option("high")
    length.fill("20")
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(length).to_be_hidden()

    reply = ask(page, "/demo instant /demo long")
    expect(reply).to_have_attribute("data-status", "length")
    for fact in ("temperature 0.5", "at most 20 tokens", "effort high"):
        expect(reply.locator(".facts")).to_contain_text(fact)
    page.reload()
    panel.press("Enter")
    expect(length).to_have_value("20")
    expect(effort).to_have_value("high")
    length.fill("3000")
    length.press("Tab")
    page.keyboard.press("Escape")

    model.select_option(label="Demo, fast and long")
    panel.press("Enter")
    expect(length).to_have_value("2000")
    expect(effort).to_have_value("low")
    expect(temperature).to_be_hidden()
    page.get_by_role("button", name="Use the defaults").press("Enter")
    expect(length).to_have_value("")
    page.keyboard.press("Escape")
    reply = ask(page, "/demo instant").last
    expect(reply).to_have_attribute("data-status", "length")  # its own: this model never ends before
    expect(reply.locator(".facts")).not_to_contain_text("at most")
