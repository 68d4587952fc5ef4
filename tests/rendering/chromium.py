"""A page in real Chromium with the vendored htmx and no other script."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Dialog, Page, Route, sync_playwright

from chat.rendering.incremental import IncrementalRenderer, Patch
from tests.services import CHROMIUM

STATIC = Path(__file__).parents[2] / "static"
ORIGIN = "http://page.test"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

PIXEL = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'

# No Content-Security-Policy: here the renderer stands alone.
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A reply</title>
<meta name="htmx-config" content='{"history":false,"includeIndicatorCSS":false}'>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/css/base.css">
<link rel="stylesheet" href="/css/message.css"><link rel="stylesheet" href="/css/markdown.css">
<script type="module" src="/harness.js"></script></head><body><main id="messages"></main></body></html>"""

# `swap` does the same as hx-ws with the text of a message.
HARNESS = """
import htmx from "/vendor/htmx.esm.min.js";
const swap = (text) => htmx.swap({
  sourceElement: document.body, target: document.body, swap: "innerHTML swapEmpty:false", text,
  transition: false,
});
const body = (id) => {
  const made = document.createElement("div");
  made.className = "message-body";
  made.id = id;
  made.setAttribute("hx-ignore", "");
  return made;
};
window.startReply = (id) => document.getElementById("messages").append(body(id));
window.streamReply = async (id, frames, whole) => {
  startReply(id);
  for (const frame of frames) await swap(frame);
  const streamed = document.getElementById(id), expected = body(id);
  streamed.remove();
  expected.innerHTML = whole;
  streamed.normalize();
  expected.normalize();
  return streamed.isEqualNode(expected) ? null : [streamed.innerHTML, expected.innerHTML];
};
window.playReply = async (id, frames, interval) => {
  startReply(id);
  const reply = document.getElementById(id), tasks = [], shifts = [], finishedAt = new Map();
  const observe = (type, store) => {
    const observer = new PerformanceObserver((list) => store.push(...list.getEntries()));
    observer.observe({ type });
    return () => { store.push(...observer.takeRecords()); observer.disconnect(); };
  };
  const ends = [observe("longtask", tasks), observe("layout-shift", shifts)];
  // A block counts as finished from the first frame after the one that painted its last change.
  let busy = 0, painted = [], playing = true;
  const mark = () => {
    for (const block of painted) if (!finishedAt.has(block)) finishedAt.set(block, performance.now());
    painted = [...reply.children].slice(0, -1).filter((block) => !finishedAt.has(block));
    if (playing) requestAnimationFrame(mark);
  };
  requestAnimationFrame(mark);
  const start = performance.now();
  for (const [number, frame] of frames.entries()) {
    const due = start + number * interval;
    // Each message is a task of its own, as it is when a socket brings it.
    await scheduler.postTask(() => {}, { delay: Math.max(0, due - performance.now()) });
    const begun = performance.now();
    await swap(frame);
    busy += performance.now() - begun;
    document.scrollingElement.scrollTop = document.scrollingElement.scrollHeight;
  }
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  playing = false;
  ends.forEach((end) => end());
  // Chromium also lists text that stayed where it is, at the end of a line that runs from right to left.
  const place = (rect) => JSON.stringify(rect);
  const moved = ({ previousRect, currentRect }) => place(previousRect) !== place(currentRect);
  const finished = shifts.flatMap(({ startTime, sources }) => sources.filter(moved).filter(({ node }) => {
    while (node && node.parentNode !== reply) node = node.parentNode;
    return node && finishedAt.get(node) < startTime;
  }));
  return {
    frames: frames.length, seconds: (performance.now() - start) / 1000, busy: busy / frames.length,
    longest: Math.max(0, ...tasks.map((task) => task.duration)), longTasks: tasks.length,
    shifts: shifts.length, finished: finished.length,
  };
};
window.htmxSwap = swap;
window.ready = true;
"""


def envelope(identifier: str, patches: Iterable[Patch]) -> str:
    """Returns all patches of one call in one message, as they are sent."""
    return "".join(
        f'<hx-partial hx-target="#{identifier} {patch.path}" hx-swap="{patch.swap}">{patch.html}</hx-partial>'
        for patch in patches
    )


def frames(identifier: str, chunks: Iterable[str]) -> list[str]:
    """Returns the messages of a streamed reply, including its end; empty ones are not sent."""
    renderer = IncrementalRenderer()
    made = []
    for chunk in chunks:
        renderer.feed(chunk)
        made.append(envelope(identifier, renderer.patches()))
    made.append(envelope(identifier, renderer.finish()))
    return list(filter(None, made))


class ReplyPage:
    """The page, with all its network requests and console messages."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.alarms: list[str] = []
        page.route("**/*", self._answer)
        page.on("dialog", self._dismiss)
        page.on("pageerror", lambda error: self.alarms.append(str(error)))
        page.on("popup", lambda _: self.alarms.append("popup"))
        page.on("console", lambda told: self.alarms.append(told.text) if told.type == "error" else None)
        page.goto(f"{ORIGIN}/")
        page.wait_for_function("window.ready")
        self.requests.clear()

    def _dismiss(self, dialog: Dialog) -> None:
        self.alarms.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _answer(self, route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN)
        if path == "/":
            route.fulfill(body=PAGE, content_type="text/html")
        elif path == "/harness.js":
            route.fulfill(body=HARNESS, content_type="text/javascript")
        elif path.startswith(("/css/", "/js/", "/vendor/")):
            route.fulfill(path=STATIC / path[1:])
        elif path.startswith("/"):
            route.fulfill(body=PIXEL, content_type="image/svg+xml")
        else:
            route.abort()
        self.requests.append(route.request.url)


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def reply_page(browser: Browser) -> Iterator[ReplyPage]:
    """Yields an unused page."""
    page = browser.new_page(viewport={"width": 900, "height": 700})
    try:
        yield ReplyPage(page)
    finally:
        page.close()


@contextmanager
def tracing(page: Page) -> Iterator[list[tuple[float, float]]]:
    """Yields the milliseconds of each task of the page's main thread, by CPU time and by the clock; filled at
    the end."""
    tasks: list[tuple[float, float]] = []
    browser = page.context.browser
    assert browser
    browser.start_tracing(page=page, categories=["toplevel"])
    yield tasks
    tasks += _main_thread_tasks(json.loads(browser.stop_tracing())["traceEvents"])


def _main_thread_tasks(events: list[dict[str, Any]]) -> list[tuple[float, float]]:
    main = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    return [
        (event.get("tdur", 0) / 1e3, event.get("dur", 0) / 1e3)
        for event in events
        if event["name"].endswith("RunTask") and (event["pid"], event["tid"]) in main
    ]
