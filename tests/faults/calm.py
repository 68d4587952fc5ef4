"""A clock for promises in seconds. It leaves out the time in which a process of this machine waits for a
core: a busy machine fails no test, and an idle one measures real seconds."""

from __future__ import annotations

import time
from pathlib import Path

PATIENCE = 60.0  # seconds of a usual clock; only ends a wait that would never end
_PRESSURE = Path("/proc/pressure/cpu")


def calm_time() -> float:
    """Returns seconds from a fixed point on. Linux counts the waits for a core as "pressure"; without such a
    count these are the seconds of a usual clock."""
    try:
        some = _PRESSURE.read_text(encoding="ascii").splitlines()[0]
    except OSError:
        return time.monotonic()
    return time.monotonic() - int(some.rpartition("total=")[2]) / 1e6
