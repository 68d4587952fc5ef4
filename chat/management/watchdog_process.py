"""The child process of `watchdog.py`. It runs as a file and uses only the standard library.

    python -I -S watchdog_process.py PARENT WARN_SECONDS KILL_SECONDS

It reads a byte from standard input for each heartbeat. It counts only seconds during which it was running
itself, so a suspended laptop or a paused machine adds at most one. If the parent was stopped (SIGSTOP, a
debugger), the count starts again. The end of the input is the end of the parent.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path


def watch(parent: int, warn: int, kill: int) -> None:
    silent = 0
    while os.getppid() == parent:
        if select.select([0], [], [], 1.0)[0]:
            if not os.read(0, 65536):
                return
            silent = 0
            continue
        silent = 0 if is_stopped(parent) else silent + 1
        if silent == warn:
            say(f"The server has not responded for {warn} s. The stacks of its threads:")
            # Faulthandler writes the stacks, also while the interpreter is blocked.
            os.kill(parent, signal.SIGUSR1)
        elif silent >= kill:
            say(f"The server has not responded for {kill} s. It is killed, so that it can be restarted.")
            os.kill(parent, signal.SIGKILL)
            return


def is_stopped(pid: int) -> bool:
    """Returns whether the process is stopped or traced, so that it cannot send a heartbeat; false if this is
    unknown."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1").rpartition(")")[2].split()[0]
    except OSError:  # macOS
        command = ["ps", "-o", "state=", "-p", str(pid)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        state = ran.stdout.strip()
    return state[:1] in ("T", "t")


def say(words: str) -> None:
    os.write(2, f"{words} (process {os.getppid()})\n".encode())


if __name__ == "__main__":
    # Ctrl+C and a service manager's SIGTERM are sent to the whole group. This process ends only with the
    # server.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    watch(*map(int, sys.argv[1:4]))
