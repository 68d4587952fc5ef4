"""The chat page under load: a chat of 2,000 messages, and one with a message of 200 kB.

    uv run --group dev python -m benchmarks.page [--messages 2000] [--kilobytes 200]

Starts its own server and real Chromium, and prints what a person notices: the time for opening and sending,
the tasks over 50 ms that block the page (from the browser's PerformanceObserver), and the memory of the tab's
process.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from tests.servers import ADMIN, PASSWORD, ServerProcess

ROOT = Path(__file__).resolve().parent.parent
REPLY = (ROOT / "tests/rendering/corpus/tides.md").read_text(encoding="utf-8")
SEED = """
import uuid
from chat.models import ChatModel, Conversation, Generation, Message, User
reply, count, length = {reply!r}, {count}, {length}
owner, model = User.objects.get(), ChatModel.objects.first()

def fill(title, texts):
    chat = Conversation.objects.create(owner=owner, title=title, revision=1, last_position=len(texts))
    messages, parent = [], None
    for position, text in enumerate(texts, 1):
        role = "user" if position % 2 else "assistant"
        parent = Message(conversation=chat, parent=parent, position=position, role=role, text=text,
                         added_revision=1, revision=1)
        messages.append(parent)
    Message.objects.bulk_create(messages)
    Generation.objects.bulk_create(
        Generation(conversation=chat, message=message, model=model, model_label=model.label,
                   status="complete", output_tokens=100)
        for message in messages[1::2]
    )
    chat.head = parent
    chat.save()
    print(chat.pk)

fill("Many", [f"Answer {{i}}. {{reply}}" if i % 2 else f"Question {{i}}" for i in range(count)])
fill("Long", ["How long?", (reply * (length // len(reply) + 1))[:length]])
"""
LONG_TASKS = """
window.long = [];
new PerformanceObserver(list => window.long.push(...list.getEntries().map(it => it.duration)))
  .observe({ type: "longtask", buffered: true });
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--messages", type=int, default=2000)
    options.add_argument("--kilobytes", type=int, default=200)
    chosen = options.parse_args()
    with server() as running, _chromium() as chromium:
        seed = SEED.format(reply=REPLY, count=chosen.messages, length=chosen.kilobytes * 1000)
        many, long = running.manage("shell", "--verbosity=0", stdin=seed).split()
        state = logged_in(chromium, running.url)
        print(f"first load: {_bytes(chromium, running.url, state) / 1000:.1f} kB over the wire")
        for name, chat in ((f"{chosen.messages:,} messages", many), (f"{chosen.kilobytes} kB in one", long)):
            tab = Tab(chromium, state)
            tab.measure(
                f"{name}: open", lambda tab=tab, chat=chat: tab.open(f"{running.url}/conversations/{chat}/")
            )
            tab.measure(f"{name}: send", tab.send)
            tab.measure(f"{name}: 5 s of the reply", tab.watch)
            tab.measure(f"{name}: scroll to the start", tab.scroll_to_the_start)
            tab.measure(f"{name}: 5 s of the reply, seen there", tab.watch)
            tab.measure(f"{name}: back to the end", tab.scroll_to_the_end)
            tab.measure(f"{name}: 5 s of the reply, seen here", tab.watch)
            tab.measure(f"{name}: stop, and send again", tab.send_again)
            tab.page.context.close()


class Tab:
    """A page with its long tasks and memory."""

    def __init__(self, chromium: Browser, state: Any) -> None:
        context = chromium.new_context(viewport={"width": 1280, "height": 800}, storage_state=state)
        self.chromium, self.page = chromium, context.new_page()
        self.page.add_init_script(LONG_TASKS)

    def measure(self, name: str, act: Any) -> None:
        """Runs `act` and prints its result (its time in ms, or None) and its cost."""
        took = act()
        self.page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 300)))")
        tasks = self.page.evaluate("window.long.splice(0)")
        told = f"{took:6.0f} ms" if took is not None else " " * 9
        print(
            f"{name:42} {told}   {len(tasks):3} long tasks, worst {max(tasks, default=0):5.0f} ms, together "
            f"{sum(tasks):6.0f} ms   {self.memory():4.0f} MB, {self.page.locator('*').count():7,} elements"
        )

    def open(self, url: str) -> float:
        """Returns the time until the end of the chat is painted and the page can be used."""
        self.page.goto(url)
        self.page.locator("article").last.wait_for()
        return self.page.evaluate(
            "new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))"
        )

    def send(self) -> float:
        """Returns the time from Enter to the stored prompt on the page, by the page's own clock."""
        self.page.get_by_role("textbox", name="Message").fill("/demo long And then?")
        return self.page.evaluate(
            "new Promise(done => { const before = document.querySelectorAll('article').length;"
            " const start = performance.now();"
            " new MutationObserver((_, it) => {"
            "   if (document.querySelectorAll('article').length < before + 2) return;"
            "   it.disconnect(); requestAnimationFrame(() => done(performance.now() - start)); })"
            " .observe(document.getElementById('messages'), { childList: true, subtree: true });"
            " document.getElementById('composer').requestSubmit(); })"
        )

    def watch(self) -> None:
        self.page.evaluate("new Promise(done => setTimeout(done, 5000))")

    def send_again(self) -> float:
        self.page.locator(".send-button.stop").dispatch_event("click")
        self.page.locator(".send-button.stop").wait_for(state="detached")
        return self.send()

    def scroll_to_the_start(self) -> float:
        start = time.perf_counter()
        while self.page.locator("#earlier a").count():
            before = self.page.locator("article").count()
            self.page.evaluate("document.getElementById('scroller').scrollTop = 1")
            self.page.evaluate("document.getElementById('scroller').scrollTop = 0")
            self.page.wait_for_function(
                "before => document.querySelectorAll('article').length > before"
                " || !document.querySelector('#earlier a')",
                arg=before,
            )
        return (time.perf_counter() - start) * 1000

    def scroll_to_the_end(self) -> None:
        self.page.evaluate("document.getElementById('scroller').scrollTop = 1e9")

    def memory(self) -> float:
        """Returns the private memory of the tab's process in MB."""
        self.page.context.new_cdp_session(self.page).send("HeapProfiler.collectGarbage")
        session = self.chromium.new_browser_cdp_session()
        found = session.send("SystemInfo.getProcessInfo")["processInfo"]
        session.detach()
        return max(_private(int(one["id"])) for one in found if one["type"] == "renderer")


def _private(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1000


def _bytes(chromium: Browser, url: str, state: Any) -> float:
    """Returns the bytes of a new chat with an empty browser cache."""
    context = chromium.new_context(storage_state=state)
    page = context.new_page()
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    sizes: list[float] = []
    network.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(url, wait_until="networkidle")
    context.close()
    return sum(sizes)


def logged_in(chromium: Browser, url: str) -> Any:
    page = chromium.new_context().new_page()
    page.goto(f"{url}/accounts/login/")
    page.get_by_label("Email").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/conversations/*/")
    state = page.context.storage_state()
    page.context.close()
    return state


@contextmanager
def server() -> Iterator[ServerProcess]:
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(Path(folder) / "data").start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def _chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


if __name__ == "__main__":
    main()
