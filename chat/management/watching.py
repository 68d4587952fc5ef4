"""The child process of `watchdog.py`: run as a file, with nothing but Python's own modules.

    python -I -S watching.py PARENT TOLD_SECONDS ENDED_SECONDS

Reads a byte from standard input for each sign of life. It counts seconds that it lived through itself, so a
laptop that slept, or a machine that was paused, adds at most one; a parent that was stopped (SIGSTOP, a
debugger) starts anew. The end of the input is the end of the parent.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path


def watch(parent: int, told: int, ended: int) -> None:
    silent = 0
    while os.getppid() == parent:
        if select.select([0], [], [], 1.0)[0]:
            if not os.read(0, 65536):
                return
            silent = 0
            continue
        silent = 0 if is_stopped(parent) else silent + 1
        if silent == told:
            say(f"The server has stood still for {told} s. What it does, by thread:")
            os.kill(parent, signal.SIGUSR1)  # faulthandler writes it, whoever holds the interpreter
        elif silent >= ended:
            say(f"The server has stood still for {ended} s. It is ended, to be started again.")
            os.kill(parent, signal.SIGKILL)
            return


def is_stopped(pid: int) -> bool:
    """Whether the process is stopped or traced, so that it can give no sign of life. Not known: false."""
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
    # Ctrl+C and a service manager's SIGTERM go to the whole group; the server's own end is ours.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    watch(*map(int, sys.argv[1:4]))
