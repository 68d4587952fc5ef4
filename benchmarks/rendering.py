"""CPU and bytes of one streamed reply: patches, the whole reply rendered at each update, and the raw text.

    uv run --group dev python -m benchmarks.rendering [--sizes 2 10 50 200] [--update 8] [--page]

A reply arrives in updates of 8 characters (two tokens: 50 tokens a second with a flush every 40 ms).
Rendering the whole reply is timed at 24 of its lengths and summed over all updates. For code, compare with
the variant that has colours: markdown-it-py has none of its own. Bytes include HTML, selectors and swap
styles.

`--page` plays a long answer at 200 tokens a second into Chromium instead, and prints the results of its
PerformanceObserver and a trace of its main thread.
"""

import argparse
import itertools
import time
from collections.abc import Callable

from django.conf import settings
from markdown_it import MarkdownIt

from chat.rendering.code import highlight
from chat.rendering.colours import colours
from chat.rendering.incremental import IncrementalRenderer
from chat.rendering.markdown import render_markdown

settings.configure(USE_I18N=False)

SAMPLES = 24
COLUMNS = (
    "reply", "kB", "patches, CPU ms", "us a kB", "end, CPU ms", "whole by markdown-it-py, CPU ms",
    "times less",
    "the same with colours", "times less",
    "whole by render_markdown, CPU ms", "patches, kB", "whole, kB", "raw text, kB",
)  # fmt: skip
PLAIN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
colours.wait_seconds = 60.0
COLOURED = MarkdownIt("commonmark", {"highlight": lambda code, info, _: highlight(code, info)})
COLOURED.enable(["table", "strikethrough"])


def prose(number: int) -> str:
    heading = f"## Part {number // 4 + 1}\n\n" if number % 4 == 0 else ""
    return heading + (
        "The **quick** brown fox jumps over the lazy dog, and `then` goes on to explain why this matters at "
        "all: see [the notes](https://example.org/notes) for *more*. It is a sentence like many others, long "
        "enough to wrap; and another one follows it without any markup in it, as most have none.\n\n"
    )


def code(number: int) -> str:
    return (
        f"def handler_{number}(request, name='x'):\n    # say who asks\n"
        f"    value = compute(request.user, {number})\n    return value\n\n"
    )


def items(number: int) -> str:
    nested = "  - a nested point with `code`\n  - and a second one\n" if number % 4 == 0 else ""
    return f"- Item {number} with **bold** text and something to say about it\n{nested}"


def rows(number: int) -> str:
    return f"| row {number} | {number * 37} | some **notes** about it |\n"


KINDS: dict[str, tuple[str, Callable[[int], str], str]] = {
    "prose": ("", prose, ""),
    "one code block": ("```python\n", code, "```\n"),
    "one list": ("", items, ""),
    "one table": ("| Name | Value | Notes |\n|---|---:|---|\n", rows, ""),
}


def reply(kind: str, length: int) -> str:
    start, part, end = KINDS[kind]
    parts: list[str] = []
    size = len(start)
    for number in itertools.count(1):
        parts.append(part(number))
        size += len(parts[-1])
        if size >= length:
            return start + "".join(parts) + end
    raise AssertionError


def streamed(text: str, update: int) -> tuple[float, float, int]:
    """Returns the CPU seconds of all patches, of the end, and the bytes sent."""
    renderer, sent = IncrementalRenderer(), 0
    begun = time.process_time()
    for at in range(0, len(text), update):
        renderer.feed(text[at : at + update])
        for patch in renderer.patches():
            sent += len(patch.html.encode()) + len(patch.path) + len(patch.swap)
    grown = time.process_time() - begun
    begun = time.process_time()
    for patch in renderer.finish():
        sent += len(patch.html.encode()) + len(patch.path) + len(patch.swap)
    return grown, time.process_time() - begun, sent


def rendered_whole(text: str, update: int, render: Callable[[str], str]) -> tuple[float, int]:
    """Returns CPU seconds and bytes of rendering the whole text so far at each update."""
    seconds, sent = 0.0, 0
    for sample in range(SAMPLES):
        prefix = text[: int(len(text) * (sample + 0.5) / SAMPLES)]
        begun = time.process_time()
        sent += len(render(prefix).encode())
        seconds += time.process_time() - begun
    updates = len(text) / update
    return seconds / SAMPLES * updates, int(sent / SAMPLES * updates)


def compare(sizes: list[int], update: int) -> None:
    streamed(reply("one code block", 500), update)  # imports the lexer
    print("| " + " | ".join(COLUMNS) + " |\n|---|" + "---:|" * (len(COLUMNS) - 1))
    for kind, size in itertools.product(KINDS, sizes):
        text = reply(kind, size * 1000)
        grown, end, sent = streamed(text, update)
        plain, _ = rendered_whole(text, update, PLAIN.render)
        coloured, _ = rendered_whole(text, update, COLOURED.render)
        own, whole = rendered_whole(text, update, render_markdown)
        figures = [
            f"{len(text) / 1e3:.1f}", f"{grown * 1e3:,.1f}", f"{grown * 1e9 / len(text):,.0f}",
            f"{end * 1e3:.1f}",
            f"{plain * 1e3:,.0f}", f"{plain / (grown + end):,.0f}",
            f"{coloured * 1e3:,.0f}", f"{coloured / (grown + end):,.0f}", f"{own * 1e3:,.0f}",
            f"{sent / 1e3:,.0f}", f"{whole / 1e3:,.0f}", f"{len(text.encode()) / 1e3:,.0f}",
        ]  # fmt: skip
        print("| " + " | ".join([kind, *figures]) + " |", flush=True)


def play() -> None:
    """Plays a long answer at 200 tokens a second in real Chromium."""
    from tests.rendering.chromium import chromium, frames, reply_page, tracing
    from tests.rendering.documents import answers, tokens

    left_out = ("references", "footnotes")  # they change finished blocks at the end
    text = "\n\n".join(text for name, text in answers().items() if name not in left_out)
    pairs = map("".join, itertools.batched(tokens(text), 2, strict=False))
    with chromium() as browser, reply_page(browser) as page:
        sent = frames("b-long", pairs)
        with tracing(page.page) as tasks:
            figures = page.page.evaluate("(args) => playReply(...args)", ["b-long", sent, 10])
    cpu, clock = zip(*tasks, strict=True)
    print(
        f"{len(text) / 1e3:.1f} kB in {figures['frames']} messages over {figures['seconds']:.0f} s: "
        f"{figures['busy']:.2f} ms a message; {len(tasks)} tasks of the main thread, longer than 50 ms "
        f"{sum(one > 50 for one in cpu)} by CPU time (longest {max(cpu):.0f} ms) and {figures['longTasks']} "
        f"by the clock (longest {max(clock):.0f} ms), which counts what else the machine does; "
        f"{figures['shifts']} layout shifts, {figures['finished']} of finished blocks"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 10, 50, 200], help="kB")
    parser.add_argument("--update", type=int, default=8, help="characters")
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    if options.page:
        play()
    else:
        compare(options.sizes, options.update)


if __name__ == "__main__":
    main()
