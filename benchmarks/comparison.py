"""Replies side by side in real Chromium: whether they block the page.

    uv run --group dev python -m benchmarks.comparison

One model, then four at once, each at 200 tokens a second for so many seconds (`--seconds`). Prints the tasks
over 50 ms (from the browser's PerformanceObserver; they count what other processes take too), and the CPU
time of the page's main thread.
"""

from __future__ import annotations

import argparse

from playwright.sync_api import Page, sync_playwright

from benchmarks.page import LONG_TASKS, logged_in, server
from tests.services import CHROMIUM

MODELS = 4
SEED = f"""
from chat.models import ChatModel
fast = ChatModel.objects.get(name="demo-fast")
for number in range({MODELS}):
    ChatModel.objects.create(endpoint=fast.endpoint, name=f"fast-{{number}}", display_name=f"Fast {{number}}",
                             alias_of=fast)
"""
ASK = """
names => {
  const idOf = name => [...document.querySelectorAll("#model option")].find(it => it.text === name).value;
  const [first, ...others] = names.map(idOf);
  document.getElementById("model").value = first;
  for (const box of document.querySelectorAll(".model-beside")) box.checked = others.includes(box.value);
  document.getElementById("prompt").value = "/demo long Which is better?";
  document.getElementById("composer").requestSubmit();
}
"""


LENGTH = """
[...document.querySelectorAll("[data-role=assistant] .message-body")]
  .reduce((sum, it) => sum + it.textContent.length, 0)
"""
CHARACTERS = 5  # of a token, about


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    seconds = parser.parse_args().seconds
    with server() as running, sync_playwright() as playwright:
        running.manage("shell", "--verbosity=0", stdin=SEED)
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        state = logged_in(chromium, running.url)
        print("| models | tokens/s on the page | long tasks | worst (ms) | main thread (ms of CPU/s) |")
        print("|--:|--:|--:|--:|--:|")
        for count in (1, MODELS):
            context = chromium.new_context(viewport={"width": 1280, "height": 800}, storage_state=state)
            page = context.new_page()
            page.add_init_script(LONG_TASKS)
            page.goto(running.url)
            page.get_by_role("textbox", name="Message").wait_for()
            print(measured(page, count, seconds), flush=True)
            context.close()
        chromium.close()


def measured(page: Page, count: int, seconds: int) -> str:
    """Returns the row of the table."""
    page.evaluate(ASK, [f"Fast {number}" for number in range(count)])
    page.wait_for_function(
        "count => [...document.querySelectorAll('[data-role=assistant] .message-body')]"
        ".filter(it => it.textContent.length > 200).length === count",
        arg=count,
    )
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.evaluate("window.long.splice(0)")
    before, began = page.evaluate(LENGTH), _cpu(devtools)
    page.evaluate("seconds => new Promise(done => setTimeout(done, seconds * 1000))", seconds)
    took, grown = _cpu(devtools) - began, page.evaluate(LENGTH) - before
    tasks = page.evaluate("window.long")
    worst = f"{max(tasks):.0f}" if tasks else "-"
    pace, load = grown / CHARACTERS / seconds, took * 1000 / seconds
    return f"| {count} | {pace:.0f} | {len(tasks)} | {worst} | {load:.0f} |"


def _cpu(devtools: object) -> float:
    found = devtools.send("Performance.getMetrics")["metrics"]  # type: ignore[attr-defined]
    return next(float(one["value"]) for one in found if one["name"] == "TaskDuration")


if __name__ == "__main__":
    main()
