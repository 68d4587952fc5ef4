"""Process 1 of a container, if the server would be that process."""

from __future__ import annotations

import os
import signal

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)


def fork_if_first_process() -> None:
    """Forks if this is process 1, and returns in the child. Process 1 forwards signals to the child, reaps
    orphans, and exits with the code of the child. It does not serve, because the kernel lets no process of a
    container kill process 1, not even the watchdog."""
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
