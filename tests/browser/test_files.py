"""Files on a phone, and pictures of a model, in real Chromium."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from chat.providers.demo import _picture
from tests.browser.conftest import Person
from tests.browser.test_access import violations
from tests.browser.test_page import PHONE, ask


def chip(page: Page, name: str, state: str) -> Locator:
    found = page.locator(f"#files [data-state={state}]").filter(has_text=name)
    expect(found).to_have_count(1)
    return found


def shown(picture: Locator) -> None:
    expect(picture).to_be_visible()
    picture.evaluate("it => it.complete || new Promise((go, fail) => { it.onload = go; it.onerror = fail; })")
    assert picture.evaluate("it => it.naturalWidth") > 0


def test_a_photo_of_a_phone_is_sent_and_a_picture_of_the_model_is_shown(
    people: Callable[..., Person],
) -> None:
    page = people(**PHONE).page
    expect(page.locator("#attach-input")).to_have_attribute("accept", "image/*,*/*")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Attach").tap()
    chooser.value.set_files([{"name": "photo.png", "mimeType": "image/png", "buffer": _picture()}])
    chip(page, "photo.png", "done")
    reply = ask(page, "/demo instant /demo image")
    shown(page.locator("article[data-role=user]").get_by_role("img", name="photo.png"))
    shown(reply.get_by_role("img", name="image.png"))
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.reload()
    shown(page.locator("article[data-role=assistant]").get_by_role("img", name="image.png"))
