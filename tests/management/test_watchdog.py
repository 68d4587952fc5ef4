"""A process that hangs is reported and ended; a stopped or a working process is not."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest

from chat.management.watchdog import Watchdog
from tests.servers import ROOT, ServerProcess
from tests.services import is_missing

Start = Callable[[str], subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `frozen.py`, which ends with the test; its standard error goes to a file."""
    with ExitStack() as stack:

        def begin(what: str) -> subprocess.Popen[str]:
            log = stack.enter_context((tmp_path / "log").open("w"))
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.management.frozen", what],
                cwd=ROOT,
                text=True,
                stdout=subprocess.PIPE,
                stderr=log,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "watched\n"
            return process

        yield begin


@pytest.mark.parametrize(("what", "where"), [("regex", "hold_the_interpreter"), ("block", "in main")])
def test_a_blocked_process_is_logged_and_ended(start: Start, tmp_path: Path, what: str, where: str) -> None:
    assert start(what).wait(120) == -signal.SIGKILL
    log = (tmp_path / "log").read_text()
    told, _, stack = log.partition("not responded for 2 s")
    assert told == "The server has "
    assert where in stack
    assert "not responded for 4 s. It is killed" in stack


def test_a_process_that_was_suspended_for_longer_is_not_ended(start: Start) -> None:
    process = start("live")
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(13)  # longer than a process may hang
    os.kill(process.pid, signal.SIGCONT)
    for _ in range(60):
        assert process.stdout.readline() == "alive\n"


async def test_a_suspended_watchdog_does_not_prevent_the_end_of_the_server() -> None:
    watchdog = Watchdog()
    watchdog.start()
    child = watchdog._child
    assert child is not None
    os.kill(child.pid, signal.SIGSTOP)
    ending = Thread(target=watchdog.stop, daemon=True)
    ending.start()
    await asyncio.to_thread(ending.join, 60)
    try:
        assert not ending.is_alive()
    finally:
        child.kill()


def test_the_first_process_of_a_container_is_ended_too(tmp_path: Path) -> None:
    """No process inside the container can kill it."""
    if not shutil.which("unshare"):
        is_missing("unshare is not installed (apt install util-linux).")
    inside = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*inside, "true"], check=False).returncode:
        # A container forbids it, unless it is privileged: nothing that could be installed there helps.
        pytest.skip("The kernel lets this user make no process namespace.")
    frozen = [sys.executable, "-m", "tests.management.frozen", "block"]
    ended = subprocess.run([*inside, *frozen], cwd=ROOT, capture_output=True, timeout=120, check=False)
    assert ended.returncode == 128 + signal.SIGKILL
    assert b"It is killed" in ended.stderr


def test_the_watchdog_ends_with_its_process(start: Start) -> None:
    process = start("live")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        is_missing("Linux only: looks for the child in /proc.")
    (child,) = children.read_text().split()
    process.kill()
    process.wait()
    until = time.monotonic() + 60
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_server_is_watched(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data").start()
    try:
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
        if not children.exists():
            is_missing("Linux only: looks for the child in /proc.")
        names = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children.read_text().split()]
        assert any(b"watchdog_process.py" in name for name in names)
        assert server.is_running
    finally:
        assert server.stop() == 0
