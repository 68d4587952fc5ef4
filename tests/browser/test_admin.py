"""The administration in a real browser, under the same Content Security Policy as the chat."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.conftest import CHROMIUM
from tests.serving import serve

pytestmark = pytest.mark.needs_chromium

EMAIL, PASSWORD = "ada@example.org", "a long enough phrase"


def _log_in(page: Page, url: str) -> None:
    page.goto(f"{url}/accounts/login/")
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/conversations/**")


def test_every_page_of_the_administration_obeys_the_policy(tmp_path: Path) -> None:
    complaints: list[str] = []
    with (
        serve(tmp_path, STEADY_ADMIN_EMAIL=EMAIL, STEADY_ADMIN_PASSWORD=PASSWORD) as server,
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        ) as browser,
    ):
        page = browser.new_page()
        page.on(
            "console",
            lambda message: (
                complaints.append(f"{page.url}: {message.text}")
                if message.type in {"error", "warning"}
                else None
            ),
        )
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        _log_in(page, server.url)
        for path in (
            "",
            "chat/conversation/",
            "chat/transcriptread/",
            "chat/modelprovider/",
            "chat/modelprovider/demo/change/",
            "chat/chatmodel/",
            "chat/chatmodel/1/change/",
            "chat/user/",
            "chat/user/add/",
            "chat/user/1/change/",
            "chat/user/1/password/",
            "auth/group/add/",
        ):
            answer = page.goto(f"{server.url}/admin/{path}")
            assert answer is not None
            assert answer.status == 200, path
            expect(page.locator("#header")).to_have_css("display", "flex")
        page.goto(f"{server.url}/admin/chat/chatmodel/1/change/")
        expect(page.locator(".selector-available")).to_be_visible()  # Made by the admin's script.
    assert not complaints
