"""Code is coloured by a process that may be ended at any moment, and nobody waits for it."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import pytest
from pygments.lexers import get_all_lexers

from chat.rendering import code as code_module
from chat.rendering import colours as colours_module
from chat.rendering.code import highlight
from chat.rendering.colours import BURST_SECONDS, Colours, rendering_for, wait_for_colours
from chat.rendering.highlighter import COLOURING_SECONDS
from chat.rendering.incremental import IncrementalRenderer
from chat.rendering.markdown import render_markdown
from tests.hostile.inputs import ATOMS, LONG
from tests.rendering.page import Page, shape_of

EXPONENTIAL = "'" + "\\" * 100
EXPENSIVE = {
    "a quote and backslashes": EXPONENTIAL,
    "blanks": "a" + " " * 4_900,
    "atoms": "\n".join((atom.strip() or "([{<") * 100 for atom in ATOMS),
}
NUMBER = '<span class="mi">'
NEVER = (sys.executable, "-c", "import time; time.sleep(600)")


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> Iterator[Colours]:
    made = Colours(1_000_000)
    made.wait_seconds = 120.0
    monkeypatch.setattr(code_module, "colours", made)
    yield made
    made.close()


def text_of(html: str) -> str:
    return unescape("".join(piece.rpartition(">")[2] for piece in html.split("<")))


def test_code_that_takes_exponential_time_stays_plain_and_the_process_continues(colours: Colours) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    turns = 0
    with rendering_for(None, waits=False):
        while "ansys" not in {language for language, _ in colours._known}:
            assert highlight(EXPONENTIAL, "ansys") == EXPONENTIAL.replace("'", "'")
            turns += 1
            time.sleep(0.001)
    assert turns > 20, "the interpreter stood still"
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 20 * COLOURING_SECONDS
    assert 'class="' in highlight("x = 1", "python")
    (known,) = [html for (language, _), html in colours._known.items() if language == "ansys"]
    assert known is None, "it would be tried again for each viewer"


# Each of them once took exponential time.
EXPONENTIAL_LEXERS = (
    "ansys cddl chapel factor fancy fish maple mcschema ncl pan registry rego rell restructuredtext rita"
    " scala smithy tcsh urbiscript"
)


@pytest.mark.parametrize("part", range(8) if LONG else [0])
def test_every_lexer_returns_or_is_ended_and_changes_no_letter(colours: Colours, part: int) -> None:
    """A short run tries every sixteenth, and three that take exponential time."""
    languages = sorted({aliases[0] for _, aliases, *_ in get_all_lexers(plugins=False) if aliases})
    short = [*EXPONENTIAL_LEXERS.split()[::7], "c", *languages[::16]]
    for language in languages[part::8] if LONG else short:
        for code in EXPENSIVE.values():
            html = highlight(code, language)
            assert text_of(html) == code, language


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_is_killed_is_replaced(colours: Colours, number: signal.Signals) -> None:
    assert "<span" in highlight("x = 1", "python")
    assert colours.process
    os.kill(colours.process.pid, number)
    assert "<span" in highlight("x = 2", "python")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_does_not_end_the_worker(
    colours: Colours, number: signal.Signals
) -> None:
    assert "<span" in highlight("x = 1", "python")
    assert colours.process
    pid = colours.process.pid
    os.kill(pid, number)
    assert "<span" in highlight("x = 2", "python")
    assert colours.process.pid == pid


def test_the_worker_ends_with_its_server_however_that_ends() -> None:
    program = (
        "import os, signal\n"
        "from chat.rendering.colours import colours\n"
        "colours.wait_seconds = 120\n"
        "assert colours.html('python', 'x = 1')\n"
        "print(colours.process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    pid = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=False).stdout.strip()
    until = time.monotonic() + 60
    while (
        Path(f"/proc/{pid.decode()}/cmdline").exists()
        and b"highlighter" in Path(f"/proc/{pid.decode()}/cmdline").read_bytes()
    ):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_no_worker_is_started_where_nothing_is_coloured(colours: Colours) -> None:
    for text in ("Hello", "```\nx\n```", "```nosuchlanguage\nx\n```", "    indented"):
        render_markdown(text)
    assert colours.process is None


def test_the_worker_sees_no_secret(colours: Colours, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "canary")
    highlight("x = 1", "python")
    assert colours.process
    assert b"canary" not in Path(f"/proc/{colours.process.pid}/environ").read_bytes()


async def test_the_event_loop_never_waits_for_colours(colours: Colours) -> None:
    colours.program = NEVER
    assert highlight("x = 1", "python") == "x = 1"
    colours.close()


def test_a_page_waits_once_for_all_its_code(colours: Colours, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1_000.0]

    def wait(_: object, seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(colours_module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(colours_module, "wait", wait)
    colours.program, colours.wait_seconds = NEVER, 0.2
    html = render_markdown("".join(f"```py\nx = {n}\n```\n\n" for n in range(100)))
    assert clock[0] == pytest.approx(1_000.2)
    assert html.count("x = ") == 100
    colours.close()


def test_the_expensive_code_of_one_user_leaves_the_worker_to_others(colours: Colours) -> None:
    with rendering_for(1):
        for number in range(100):
            highlight(f"{EXPONENTIAL}{number}", "ansys")
    tried = [key for key in colours._known if key[0] == "ansys"]
    assert 0 < len(tried) <= BURST_SECONDS / COLOURING_SECONDS + 1
    with rendering_for(2):
        assert "<span" in highlight("x = 1", "python")


async def test_a_reply_streams_plain_and_its_colours_follow(colours: Colours) -> None:
    text = "# A\n\n```py\nx = 1\n```\n\nand\n\n- a list\n\n  ```py\n  y = 2\n  ```\n\nend\n"
    renderer, page = IncrementalRenderer(), Page()
    for letter in text:
        renderer.feed(letter)
        page.apply(renderer.patches())
    assert NUMBER not in renderer.snapshot()
    assert await wait_for_colours(renderer.uncoloured, 120)
    renderer.feed("\nmore")
    page.apply(renderer.patches())
    assert NUMBER in renderer.snapshot()
    assert page.shape() == shape_of(renderer.snapshot())
    page.apply(renderer.finish())
    assert page.shape() == shape_of(render_markdown(text + "\nmore"))
    assert renderer.snapshot().count(NUMBER) == 2


async def test_colours_that_arrive_after_the_end_are_sent_too(colours: Colours) -> None:
    text = "# A\n\n```py\nx = 1\n```\n\nend"
    renderer, page = IncrementalRenderer(), Page()
    renderer.feed(text)
    page.apply(renderer.finish())
    assert NUMBER not in renderer.snapshot()
    assert await wait_for_colours(renderer.uncoloured, 120)
    page.apply(renderer.patches())
    assert NUMBER in renderer.snapshot()
    assert page.shape() == shape_of(renderer.snapshot()) == shape_of(render_markdown(text))
    assert not renderer.uncoloured
    await asyncio.sleep(0)
