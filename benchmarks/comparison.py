"""Replies side by side in real Chromium: whether they block the page.

    uv run --group dev python -m benchmarks.comparison [--tokens 4000]

One model, then four at once, each at 200 tokens a second, from the first text to the end of all replies.
Their text is the Markdown of tests/rendering/corpus. A trace of the browser has each task of the page's main
thread, with its CPU time and its duration. The duration contains the time in which the task waits for a core,
so on a busy machine only the CPU time shows what the page does. A task over 50 ms is long, by its CPU time or
by its duration: on an idle machine both are the same.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.page import ROOT, logged_in
from tests.faults.stack import free_port, wait_for_port
from tests.servers import ServerProcess
from tests.services import CHROMIUM

MODELS, PACE = 4, 200
LONG = 50  # ms
SEED = f"""
import time
from chat.models import ChatModel
until = time.monotonic() + 60  # the server asks the provider for its models
while not (model := ChatModel.objects.filter(name="bench").first()) and time.monotonic() < until:
    time.sleep(0.1)
endpoint = model.endpoint
for number in range({MODELS}):
    label = f"Fast {{number}}"
    ChatModel.objects.create(endpoint=endpoint, name=f"fast-{{number}}", display_name=label, alias_of=model)
"""
ASK = """
names => {
  const idOf = name => [...document.querySelectorAll("#model option")].find(it => it.text === name).value;
  const [first, ...others] = names.map(idOf);
  document.getElementById("model").value = first;
  for (const box of document.querySelectorAll(".model-beside")) box.checked = others.includes(box.value);
  document.getElementById("prompt").value = "Which is better?";
  document.getElementById("composer").requestSubmit();
}
"""
REPLIES = "[...document.querySelectorAll('article[data-role=assistant]')]"
BEGUN = f"count => {REPLIES}.filter(it => it.querySelector('.message-body').textContent).length === count"
ENDED = f"count => {REPLIES}.filter(it => it.dataset.status === 'complete').length === count"
PHASES = {
    "style and layout": ("UpdateLayoutTree", "Layout"),
    "painting": ("PrePaint", "Paint", "Layerize", "Commit"),
    "scripts and parsing": ("FunctionCall", "v8.callFunction", "TimerFire", "ParseHTML", "EventDispatch"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=4_000)
    tokens, port = parser.parse_args().tokens, free_port()
    corpus = ROOT / "tests/rendering/corpus"
    provider = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.provider", str(port), str(tokens), str(PACE), str(corpus)]
    )
    wait_for_port(port)
    env = {"OPENAI_COMPATIBLE_URL": f"http://127.0.0.1:{port}/v1", "STEADY_DEMO": "false"}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = ServerProcess(Path(folder) / "data", env).start()
        try:
            server.manage("shell", "--verbosity=0", stdin=SEED)
            chromium = playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
            )
            state = logged_in(chromium, server.url)
            print("| models | tokens/s | long: CPU | clock | worst (ms): CPU | clock | CPU (ms/s) |")
            print("|--:|--:|--:|--:|--:|--:|--:|")
            for count in (1, MODELS):
                context = chromium.new_context(viewport={"width": 1280, "height": 800}, storage_state=state)
                page = context.new_page()
                page.goto(server.url)
                page.get_by_role("textbox", name="Message").wait_for()
                tasks = traced(chromium, page, count)
                print(row(tasks, count, count * tokens), flush=True)
                for line in worst(tasks):
                    print(line, file=sys.stderr)
                context.close()
            chromium.close()
        finally:
            server.stop()
            provider.kill()
            provider.wait()


def traced(chromium: Browser, page: Page, count: int) -> list[dict[str, Any]]:
    """Returns the events of the page's main thread while `count` replies run, with times in microseconds."""
    page.evaluate(ASK, [f"Fast {number}" for number in range(count)])
    page.wait_for_function(BEGUN, arg=count)
    chromium.start_tracing(page=page, categories=["toplevel", "devtools.timeline", "v8"])
    page.wait_for_function(ENDED, arg=count, polling=1_000, timeout=600_000)
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 500)))")
    events = json.loads(chromium.stop_tracing())["traceEvents"]
    names = [one for one in events if one["name"] == "thread_name"]
    mains = {(one["pid"], one["tid"]) for one in names if one["args"]["name"] == "CrRendererMain"}
    known = Counter((one["pid"], one["tid"]) for one in events)
    main = max(mains, key=lambda thread: known[thread])  # the others belong to closed pages
    return [one for one in events if (one["pid"], one["tid"]) == main and one["ph"] == "X" and "tdur" in one]


def row(events: list[dict[str, Any]], count: int, tokens: int) -> str:
    tasks = [one for one in events if one["name"] == "ThreadControllerImpl::RunTask"]
    seconds = (max(one["ts"] + one["dur"] for one in tasks) - min(one["ts"] for one in tasks)) / 1e6
    cpu, took = (max(one[key] for one in tasks) / 1000 for key in ("tdur", "dur"))
    long, late = (sum(one[key] > LONG * 1000 for one in tasks) for key in ("tdur", "dur"))
    load = sum(one["tdur"] for one in tasks) / 1000 / seconds
    return f"| {count} | {tokens / seconds:.0f} | {long} | {late} | {cpu:.0f} | {took:.0f} | {load:.0f} |"


def worst(events: list[dict[str, Any]]) -> list[str]:
    """Returns what the five tasks with the most CPU time did."""
    tasks = [one for one in events if one["name"] == "ThreadControllerImpl::RunTask"]
    lines = []
    for task in sorted(tasks, key=lambda one: -one["tdur"])[:5]:
        end = task["ts"] + task["dur"]
        inner = [one for one in events if task["ts"] <= one["ts"] and one["ts"] + one["dur"] <= end]
        parts = [
            f"{phase} {sum(one['tdur'] for one in inner if one['name'] in names) / 1000:.0f}"
            for phase, names in PHASES.items()
        ]
        lines.append(f"{task['tdur'] / 1000:.0f} ms: {', '.join(parts)}")
    return lines


if __name__ == "__main__":
    main()
