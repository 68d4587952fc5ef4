"""Process 1 of a container, where the server would be it."""

from __future__ import annotations

import os
import signal

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)


def step_aside() -> None:
    """Returns in a child where this is process 1; process 1 itself passes signals on to it, takes leave of
    orphans, and ends as it does. For the kernel lets nobody inside of a container kill process 1: not the
    watchdog either."""
    if os.getpid() != 1:
        return
    child = os.fork()
    if not child:
        return
    for number in _PASSED_ON:
        signal.signal(number, lambda number, _: os.kill(child, number))
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
