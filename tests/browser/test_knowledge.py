"""The files of a folder: attached by keyboard and drop, used by a reply with its sources, and removed."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import FilePayload, expect

from tests.browser.conftest import Person
from tests.browser.test_access import violations
from tests.browser.test_files import HAND_OVER
from tests.browser.test_page import DESKTOP, ask, box

LONG = "\n\n".join(
    "The notice period is four months." if at == 60 else f"Sentence {at} is about other things. " * 40
    for at in range(100)
)


def payload(name: str, text: str | bytes) -> FilePayload:
    data = text.encode() if isinstance(text, str) else text
    return {"name": name, "mimeType": "text/plain", "buffer": data}


def test_files_of_a_folder_are_attached_used_and_removed(people: Callable[..., Person]) -> None:
    person = people(**DESKTOP)
    page = person.page
    page.goto(f"{person.url}/folders/")
    page.get_by_label("Name").fill("Contracts")
    page.get_by_role("button", name="Create folder").click()
    page.wait_for_url("**/folders/*/")
    files = page.get_by_role("region", name="Files")
    expect(files.get_by_text("No files yet.")).to_be_visible()
    with page.expect_file_chooser() as chooser:
        files.get_by_role("button", name="Attach").press("Enter")
    chooser.value.set_files([payload("contract.txt", LONG), payload("data.bin", b"\x00\x01\x02")])
    expect(files.get_by_text("Ready")).to_have_count(1)
    expect(files.get_by_text("Could not be read")).to_have_count(1)
    dropped = ["#files", "drop", [["again.txt", "text/plain", "QWdhaW4="]], ""]
    page.evaluate(HAND_OVER, dropped)
    expect(files.get_by_text("again.txt")).to_be_visible()
    expect(files.get_by_text("Ready")).to_have_count(2)
    assert violations(page) == []
    files.get_by_role("button", name="Remove data.bin").press("Enter")
    expect(page.get_by_text("File removed.")).to_be_visible()
    expect(files.get_by_text("data.bin")).to_have_count(0)

    page.get_by_role("button", name="New chat in this folder").click()
    page.wait_for_url("**/conversations/*/")
    expect(box(page)).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    ask(page, "What is the notice period?")
    reply = page.locator("article[data-role=assistant][data-status=complete]")
    expect(reply).to_be_visible()
    reply.get_by_text("Sources").click()
    expect(reply.get_by_role("link", name="contract.txt").first).to_be_visible()
    assert [it for it in violations(page) if "math" not in it] == []  # the demo's formula is wide
    reply.get_by_role("link", name="contract.txt").first.press("Enter")
    expect(page.get_by_role("dialog").get_by_text("notice period")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
