"""Files by button, paste, drop and phone, in real Chromium."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from playwright.sync_api import FilePayload, Locator, Page, expect

from chat.providers.demo import _picture
from tests.browser.conftest import Person
from tests.browser.test_access import violations
from tests.browser.test_page import DESKTOP, PHONE, ask, box

# Makes an event with files or a text, as a browser does for the clipboard and for what is dragged.
HAND_OVER = """([selector, kind, files, text]) => {
  const data = new DataTransfer();
  for (const [name, type, content] of files) {
    data.items.add(new File([Uint8Array.from(atob(content), (it) => it.charCodeAt(0))], name, { type }));
  }
  if (text) data.setData("text/plain", text);
  const how = { bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data };
  const event = kind === "paste" ? new ClipboardEvent(kind, how) : new DragEvent(kind, how);
  document.querySelector(selector).dispatchEvent(event);
}"""
PHOTO: FilePayload = {"name": "photo.png", "mimeType": "image/png", "buffer": _picture()}
AUDIO: FilePayload = {
    "name": "note.wav",
    "mimeType": "audio/wav",
    "buffer": b"RIFF\x24\x00\x00\x00WAVEfmt ",
}
DEAF = "This model cannot use this kind of audio file. It gets only its name."
PICTURE = base64.b64encode(_picture()).decode()


def hand_over(page: Page, kind: str, *files: tuple[str, str, str], text: str = "") -> None:
    page.evaluate(HAND_OVER, ["#prompt" if kind == "paste" else "#scroller", kind, files, text])


def attach(page: Page, *files: FilePayload | Path) -> None:
    """Chooses files in the dialog of the browser, opened by keyboard."""
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Attach").press("Enter")
    chooser.value.set_files(list(files))  # type: ignore[arg-type]


def note(name: str, content: bytes = b"Notes") -> FilePayload:
    return {"name": name, "mimeType": "text/plain", "buffer": content}


def chip(page: Page, name: str, state: str) -> Locator:
    found = page.locator(f"#files [data-state={state}]").filter(has_text=name)
    expect(found).to_have_count(1)
    return found


def shown(picture: Locator) -> None:
    expect(picture).to_be_visible()
    picture.evaluate("it => it.complete || new Promise((go, fail) => { it.onload = go; it.onerror = fail; })")
    assert picture.evaluate("it => it.naturalWidth") > 0


def test_files_are_added_by_button_paste_and_drop_and_stay_with_the_draft(
    people: Callable[..., Person], tmp_path: Path
) -> None:
    person = people(**DESKTOP)
    page = person.page
    person.allowed_errors += ["status of 413", "status of 404"]  # the console names each such response
    with (tmp_path / "film.txt").open("wb") as file:
        file.truncate(2**30)
    attach(page, tmp_path / "film.txt")
    expect(chip(page, "film.txt", "error")).to_contain_text("The file has 1,024 MB; the limit is")
    attach(page, note("notes.txt"), note("program.exe", b"MZ\x00\x01\x02"))
    chip(page, "notes.txt", "done")
    expect(chip(page, "program.exe", "done")).to_contain_text("Models cannot read this kind of file.")
    attach(page, AUDIO)
    chip(page, "note.wav", "done")
    expect(page.locator("#files-state")).to_have_text(DEAF)
    page.locator("#model option:checked").evaluate("it => { it.dataset.audio = 'audio/mpeg audio/wav'; }")
    page.locator("#model").dispatch_event("change")
    expect(page.locator("#files-state")).to_be_empty()
    page.get_by_role("button", name="Remove note.wav").press("Enter")
    hand_over(page, "paste", ("shot.png", "image/png", PICTURE))
    shown(chip(page, "shot.png", "done").locator("img"))
    hand_over(page, "dragover", ("dropped.md", "", base64.b64encode(b"# Dropped").decode()))
    expect(page.locator("#chat[data-drop]")).to_have_count(1)
    hand_over(page, "drop", ("dropped.md", "", base64.b64encode(b"# Dropped").decode()))
    chip(page, "dropped.md", "done")
    expect(page.locator("#chat[data-drop]")).to_have_count(0)

    long = "Words. " * 1_500
    hand_over(page, "paste", text=long)
    expect(box(page)).to_have_value("")
    chip(page, "Pasted text", "done").get_by_role("button", name="Paste as text").press("Enter")
    expect(box(page)).to_have_value(long)
    expect(page.locator("#files li")).to_have_count(5)
    box(page).fill("/demo instant Look")
    chip(page, "film.txt", "error").get_by_role("button", name="Remove film.txt").press("Enter")
    page.get_by_role("button", name="Remove program.exe").press("Enter")
    expect(box(page)).to_be_focused()

    page.reload()
    for name in ("notes.txt", "shot.png", "dropped.md"):
        chip(page, name, "done")
    expect(page.locator("#files li")).to_have_count(3)
    expect(box(page)).to_have_value("/demo instant Look")
    box(page).press("Enter")
    prompt = page.locator("article[data-role=user]")
    expect(prompt.locator(".attachments li")).to_have_count(3)
    shown(prompt.get_by_role("img", name="shot.png"))
    expect(page.locator("#files li")).to_have_count(0)
    expect(page.locator("article[data-role=assistant]")).to_have_attribute("data-status", "complete")

    address = prompt.get_by_role("link", name="notes.txt").get_attribute("href")
    assert page.request.get(f"{person.url}{address}").body() == b"Notes"
    other = people("other@example.org")
    assert other.page.request.get(f"{person.url}{address}").status == 404

    attach(page, note("again.txt", b"Again"))
    chip(page, "again.txt", "done")
    assert violations(page) == []
    page.get_by_role("button", name="Remove again.txt").press("Enter")
    expect(page.locator("#files li")).to_have_count(0)


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


def test_an_edited_prompt_goes_without_a_removed_file_and_the_variant_before_keeps_it(person: Person) -> None:
    page = person.page
    attach(page, note("old.txt"), note("notes.txt", b"More"), PHOTO)
    for name in ("old.txt", "notes.txt", "photo.png"):
        chip(page, name, "done")
    ask(page, "/demo instant Look")
    prompt = page.locator("article[data-role=user]")
    edit = prompt.get_by_role("button", name="Edit")
    edit.press("Enter")
    expect(page.locator("#files .file-name")).to_have_text(["old.txt", "notes.txt", "photo.png"])
    shown(chip(page, "photo.png", "done").locator("img"))
    expect(chip(page, "notes.txt", "done")).to_contain_text("4 bytes")
    assert violations(page) == [], "editing a message with files"
    page.get_by_role("button", name="Remove old.txt").press("Enter")
    expect(box(page)).to_be_focused()
    expect(page.locator("#files .file-name")).to_have_text(["notes.txt", "photo.png"])

    box(page).press("Escape")
    expect(page.locator("#files li")).to_have_count(0)
    expect(prompt.locator(".attachments li")).to_have_count(3)
    edit.press("Enter")
    expect(page.locator("#files li")).to_have_count(3)
    page.get_by_role("button", name="Remove old.txt").press("Space")
    page.get_by_role("button", name="Remove photo.png").press("Enter")
    attach(page, note("new.txt", b"New"))
    chip(page, "new.txt", "done")
    box(page).fill("")
    box(page).press("Enter")
    expect(page.get_by_role("group", name="Variant 2 of 2")).to_be_visible()
    expect(prompt.locator(".file-name")).to_have_text(["notes.txt", "new.txt"])
    expect(page.locator("#files li")).to_have_count(0)
    expect(page.locator("article[data-role=assistant]")).to_have_attribute("data-status", "complete")
    page.get_by_role("button", name="Previous variant").press("Enter")
    expect(prompt.locator(".file-name")).to_have_text(["old.txt", "notes.txt"])
    expect(prompt.get_by_role("img", name="photo.png")).to_be_visible()


def test_an_edited_prompt_warns_of_its_audio_file(person: Person) -> None:
    page = person.page
    attach(page, AUDIO)
    chip(page, "note.wav", "done")
    ask(page, "/demo instant Listen")
    expect(page.locator("#files-state")).to_be_empty()
    page.locator("article[data-role=user]").get_by_role("button", name="Edit").press("Enter")
    chip(page, "note.wav", "done")
    expect(page.locator("#files-state")).to_have_text(DEAF)
    page.get_by_role("button", name="Remove note.wav").press("Enter")
    expect(page.locator("#files-state")).to_be_empty()


def test_a_refused_edit_comes_back_without_the_removed_files(person: Person) -> None:
    page = person.page
    attach(page, note("old.txt"), note("notes.txt", b"More"))
    for name in ("old.txt", "notes.txt"):
        chip(page, name, "done")
    ask(page, "/demo instant Look")
    prompt = page.locator("article[data-role=user]:not([data-unsent])")
    prompt.get_by_role("button", name="Edit").press("Enter")
    page.get_by_role("button", name="Remove old.txt").press("Enter")
    box(page).fill("x" * (settings.CHAT_MAX_PROMPT_CHARS + 1))
    box(page).press("Enter")
    unsent = page.locator("article[data-unsent]")
    expect(unsent).to_contain_text("the limit is")
    unsent.get_by_role("button", name="Edit").press("Enter")
    expect(page.locator("#files .file-name")).to_have_text(["notes.txt"])
    box(page).fill("/demo instant Look again")
    box(page).press("Enter")
    expect(page.get_by_role("group", name="Variant 2 of 2")).to_be_visible()
    expect(prompt.locator(".file-name")).to_have_text(["notes.txt"])
