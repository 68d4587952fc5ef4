"""Ends a server that hangs: something blocks its event loop, or the whole interpreter.

A thread cannot do this. While the regex engine or other C code runs, it holds the interpreter, and no Python
code of this process runs. So a small separate process (`watchdog_process.py`, 9 MB) receives a byte each
second while the loop runs. After 5 s without one, it lets the process log the stack of each thread, also
while the interpreter is blocked. After 60 s it kills the process, and the supervisor starts it again. `kill
-USR1` writes the stacks at once. Use it on a process that hangs: CPython reads the stacks of running threads,
and in rare cases ends with a segmentation fault."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger(__name__)

WARN_SECONDS, KILL_SECONDS = 5, 60
PERIOD = 1.0


class Watchdog:
    def __init__(self, warn: int = WARN_SECONDS, kill: int = KILL_SECONDS) -> None:
        self._limits = (warn, kill)
        self._child: subprocess.Popen[bytes] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Starts watching the current event loop."""
        faulthandler.register(signal.SIGUSR1, all_threads=True, chain=False)
        script = str(Path(__file__).with_name("watchdog_process.py"))
        numbers = map(str, (os.getpid(), *self._limits))
        command = [sys.executable, "-I", "-S", script, *numbers]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)  # noqa: S603
        assert self._child.stdin is not None
        os.set_blocking(self._child.stdin.fileno(), False)
        self._heartbeat()

    def stop(self) -> None:
        """Stops watching."""
        if self._timer is not None:
            self._timer.cancel()
        if self._child is not None and self._child.stdin is not None:
            self._child.kill()  # it may be stopped itself
            with suppress(OSError):
                self._child.stdin.close()
            self._child.wait()
            self._child = None

    def _heartbeat(self) -> None:
        assert self._child is not None and self._child.stdin is not None
        try:
            os.write(self._child.stdin.fileno(), b".")
        except BlockingIOError:
            pass  # it is stopped: the pipe is full
        except OSError:
            logger.warning("The watchdog process has ended. A server that hangs is not killed any more.")
            return
        self._timer = asyncio.get_running_loop().call_later(PERIOD, self._heartbeat)
