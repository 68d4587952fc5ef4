"""An MCP server of others, from npm: added by an administrator, and used from a chat in a browser."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Person
from tests.browser.test_access import violations
from tests.browser.test_page import ask
from tests.faults.stack import free_port, wait_for_port
from tests.servers import ADMIN, ROOT, ServerProcess

pytestmark = pytest.mark.needs_chromium

PACKAGE = "@modelcontextprotocol/server-everything"
VERSION = "2026.8.31"


@pytest.fixture(scope="module")
def stock() -> Iterator[str]:
    """Yields the address of the server. The package is installed once, beside the other things tests keep.
    Without npm or its registry the test is skipped, in CI too: Steady itself needs neither."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed.")
    folder = ROOT / ".pytest_cache" / "npm" / VERSION
    program = folder / "node_modules" / PACKAGE / "dist" / "index.js"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(
            [*install, "--prefix", str(folder), f"{PACKAGE}@{VERSION}"], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip(f"{PACKAGE} could not be had: {done.stderr.decode()[-300:]}")
    port = free_port()
    server = subprocess.Popen(
        ["node", str(program), "streamableHttp"],
        env={"PORT": str(port), "PATH": str(Path(shutil.which("node") or "node").parent)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        server.kill()
        server.wait()


@pytest.mark.long
def test_a_foreign_server_is_added_and_used(stock: str, browser: Browser, tmp_path: Path) -> None:
    steady = ServerProcess(tmp_path / "data").start()
    context = browser.new_context()
    try:
        person = Person(context, steady.url, ADMIN)
        page = person.page
        page.goto(f"{steady.url}/admin/chat/toolserver/add/")
        page.get_by_label("Short name").fill("stock")
        page.get_by_label("Address:", exact=True).fill(stock)
        page.get_by_role("button", name="Test").click()
        result = page.locator("#test-result")
        expect(result).to_contain_text("echo")
        expect(result.locator(".failed")).to_have_count(0)
        assert violations(page) == []
        page.get_by_role("button", name="Save", exact=True).click()
        page.wait_for_url("**/change/")
        expect(page.get_by_text("New tools are off.")).to_be_visible()
        switch = page.get_by_role("checkbox", name="enabled: stock__echo")
        expect(switch).not_to_be_checked()
        switch.check()
        assert violations(page) == []
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("1 of 13 on")).to_be_visible()

        page.goto(steady.url)
        page.get_by_role("button", name="Tools").click()
        page.get_by_role("checkbox", name="stock: Echo Tool").check()
        page.keyboard.press("Escape")
        reply = ask(page, "/demo instant /demo tool stock__echo ![x](https://evil.example.org/x.png)")
        expect(reply).to_have_attribute("data-status", "waiting")
        page.get_by_role("button", name="Approve", exact=True).click()
        expect(reply).to_have_attribute("data-status", "complete")
        page.get_by_text("Result", exact=True).click()
        card = page.locator(".tool-call")
        expect(card.locator("details pre")).to_have_text("Echo: ![x](https://evil.example.org/x.png)")
        expect(card.locator("img, a")).to_have_count(0)
        assert violations(page) == []
        assert person.unexpected_errors() == []
    finally:
        context.close()
        steady.stop()
