"""A process with an event loop and a watchdog. Its argument chooses what it does."""

from __future__ import annotations

import asyncio
import re
import sys
import time

from chat.management.first_process import fork_if_first_process
from chat.management.watchdog import Watchdog


def hold_the_interpreter() -> None:
    """Runs a regular expression that takes very long; it lets no other thread run."""
    re.match(r"(a+)+$", "a" * 64 + "b")


async def main(what: str) -> None:
    watchdog = Watchdog(warn=2, kill=10 if what == "live" else 4)
    watchdog.start()
    print("watched", flush=True)
    if what == "regex":
        hold_the_interpreter()
    elif what == "block":
        time.sleep(600)  # noqa: ASYNC251  (that is the defect to be found)
    elif what == "live":
        for _ in range(600):
            await asyncio.sleep(0.1)
            print("alive", flush=True)
    watchdog.stop()


fork_if_first_process()
asyncio.run(main(sys.argv[1]))
