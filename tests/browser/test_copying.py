"""The content of the clipboard after copying, in real Chromium."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Person
from tests.browser.test_page import ask

SOURCE = r"""## Steps

1. First **bold** and *soft*
2. Second with `code` and $a^2 + b^2$
   - inner

Then [a link](https://example.org/):

```python
import time

time.sleep(1)
```

> Quoted
> words

| Name | Price |
| :--- | ---: |
| Tea | 2 |

$$\int_0^1 x\,dx$$

- [x] done
- [ ] open"""


@pytest.fixture
def page(person: Person) -> Page:
    person.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ask(person.page, f"/demo instant /demo echo {SOURCE}")
    return person.page


def clipboard(page: Page) -> dict[str, str]:
    """Returns the text of each type on the clipboard."""
    return page.evaluate(
        "async () => { const [item] = await navigator.clipboard.read();"
        " const one = async type => [type, await (await item.getType(type)).text()];"
        " return Object.fromEntries(await Promise.all(item.types.map(one))); }"
    )


def select(page: Page, start: str, end: str) -> None:
    """Selects in the reply from the start of one text to the end of another."""
    page.evaluate(
        """([start, end]) => {
          const find = text => {
            const walker = document.createTreeWalker(
              document.querySelector('[data-role=assistant] .message-body'), NodeFilter.SHOW_TEXT);
            while (walker.nextNode()) {
              const at = walker.currentNode.data.indexOf(text);
              if (at >= 0) return [walker.currentNode, at];
            }
          };
          document.activeElement.blur();
          const [[from, at], [to, until]] = [find(start), find(end)];
          getSelection().setBaseAndExtent(from, at, to, until + end.length);
        }""",
        [start, end],
    )


def copied(page: Page) -> dict[str, str]:
    page.evaluate("navigator.clipboard.writeText('')")
    page.keyboard.press("Control+C")
    return clipboard(page)


def check_rich(html: str) -> None:
    for element in ("<h2>", "<ol>", "<strong>", "<pre>", "<table", "<blockquote", "<li>"):
        assert element in html, element
    for trace in ("Copy", "<button", "class=", "id=", "<math", "tabindex", "hx-"):
        assert trace not in html, trace
    assert "$a^2 + b^2$" in html


def test_copy_gives_the_source_and_rich_text_beside_it(page: Page) -> None:
    page.locator("article").last.get_by_role("button", name="Copy", exact=True).and_(
        page.locator("[data-copy]")
    ).click()
    expect(page.get_by_text("Copied")).to_be_visible()
    items = clipboard(page)
    assert items["text/plain"] == SOURCE
    check_rich(items["text/html"])


def test_copy_as_markdown_gives_the_source_alone(page: Page) -> None:
    page.locator("article").last.get_by_label("More").click()
    page.get_by_role("button", name="Copy as Markdown").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert clipboard(page) == {"text/plain": SOURCE}


def test_where_the_browser_has_no_clipboard_interface_both_are_copied(page: Page) -> None:
    page.evaluate("navigator.clipboard.write = null")
    page.locator("article").last.locator("[data-copy]").first.click()
    expect(page.get_by_text("Copied")).to_be_visible()
    items = clipboard(page)
    assert items["text/plain"] == SOURCE
    check_rich(items["text/html"])


def test_a_prompt_is_copied_as_it_was_written(page: Page) -> None:
    page.locator("article").first.hover()
    page.locator("article").first.locator("[data-copy]").first.click()
    expect(page.get_by_text("Copied")).to_be_visible()
    assert clipboard(page) == {"text/plain": f"/demo instant /demo echo {SOURCE}"}


def test_a_selected_reply_is_copied_as_its_source(page: Page) -> None:
    select(page, "Steps", "open")
    items = copied(page)
    assert items["text/plain"] == SOURCE
    check_rich(items["text/html"])


def test_a_part_of_a_reply_keeps_its_numbers_its_code_and_its_formulas(page: Page) -> None:
    select(page, "Second", "time")
    text = copied(page)["text/plain"]
    assert text == (
        "2. Second with `code` and $a^2 + b^2$\n   - inner\n\n"
        "Then [a link](https://example.org/):\n\n```python\nimport time\n```"
    )
    select(page, "Second", "with ")
    assert copied(page)["text/plain"] == "Second with "
    select(page, "soft", "soft")
    assert copied(page)["text/plain"] == "soft"


def test_a_part_of_a_block_of_code_is_copied_as_it_is(page: Page) -> None:
    select(page, "import", "sleep")
    items = copied(page)
    assert items["text/plain"] == "import time\n\ntime.sleep"
    assert "<pre" in items["text/html"]


def test_a_part_of_a_list_or_a_table_is_one_in_rich_text_too(page: Page) -> None:
    select(page, "Second", "inner")
    assert copied(page)["text/plain"] == "Second with `code` and $a^2 + b^2$\n\n- inner"
    select(page, "soft", "inner")
    items = copied(page)
    assert items["text/plain"] == "1. *soft*\n2. Second with `code` and $a^2 + b^2$\n   - inner"
    assert "<ol" in items["text/html"]
    select(page, "Name", "Tea")
    items = copied(page)
    assert items["text/plain"] == "| Name | Price |\n| :--- | ---: |\n| Tea |  |"
    assert "<table" in items["text/html"] and "<td" in items["text/html"]


def test_a_selection_over_several_messages_has_their_words_alone(page: Page) -> None:
    box: Any = page.get_by_role("textbox", name="Message")
    box.blur()
    page.evaluate("getSelection().selectAllChildren(document.getElementById('messages'))")
    text = copied(page)["text/plain"]
    assert text == f"/demo instant /demo echo {SOURCE}\n\n{SOURCE}"


def test_what_is_read_aloud_and_what_can_be_selected_has_no_buttons(person: Person) -> None:
    page = person.page
    page.evaluate("document.documentElement.dataset.announce = 'end'")
    reply = ask(page, f"/demo echo {SOURCE}")
    page.wait_for_function("() => document.getElementById('reader').textContent.includes('import time')")
    assert "Copy" not in page.locator("#reader").inner_text()
    assert "Copy" not in reply.locator(".message-body").inner_text()
    button = reply.get_by_role("button", name="Copy").first
    assert button.evaluate("it => getComputedStyle(it, '::before').content") == '"Copy"'
    page.evaluate("getSelection().selectAllChildren(document.querySelector('[data-role=assistant]'))")
    assert "Copy" not in page.evaluate("getSelection().toString()")


def test_what_is_copied_from_the_box_is_left_to_the_browser(page: Page) -> None:
    box: Any = page.get_by_role("textbox", name="Message")
    box.fill("My own *words*")
    box.select_text()
    assert copied(page)["text/plain"] == "My own *words*"
