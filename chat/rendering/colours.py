"""Syntax colours from one worker process, cached while in use. A slow job does not block other users.

Renderers get the known colours and show the rest plain. A job that exceeds its CPU time ends the worker, is
remembered and stays plain; a new worker does the next job. Each user has a budget of the worker's time, so
the code of one user does not delay the colours of others for long. The worker starts with the first job.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from queue import SimpleQueue
from signal import SIGPROF
from typing import NamedTuple

logger = logging.getLogger(__name__)

WAIT_SECONDS = 0.15  # seconds that one page, rendered on a thread of its own, waits in all
WALL_SECONDS = 10.0  # for one job, for any reason: the worker is stopped, or the machine is busy
MOST_WAITING = 500  # jobs; further ones stay plain for now
BURST_SECONDS, SECONDS_PER_SECOND = 2.0, 0.05  # of the worker's time for one user
KILL_COST = 0.5

_PROGRAM = Path(__file__).with_name("highlighter.py")

type Key = tuple[str, bytes]
type PendingColours = Future[str | None]  # the HTML; None: the code stays plain

_person: ContextVar[Hashable] = ContextVar("person", default=None)
_waits: ContextVar[bool] = ContextVar("waits", default=True)
_missed: ContextVar[list[PendingColours] | None] = ContextVar("missed", default=None)


class rendering_for:  # noqa: N801 - a context manager, in a fifth of the time of a generator for each frame
    """Charges the colours in the block to the budget of `person`, any value that identifies a user. None has
    no limit. With `waits` off, the calling thread never waits, because other tasks need it."""

    __slots__ = ("_person", "_tokens", "_waits")

    def __init__(self, person: Hashable, *, waits: bool = True) -> None:
        self._person, self._waits = person, waits

    def __enter__(self) -> None:
        self._tokens = _person.set(self._person), _waits.set(self._waits and _waits.get())

    def __exit__(self, *_: object) -> None:
        _person.reset(self._tokens[0])
        _waits.reset(self._tokens[1])


@contextmanager
def missing_colours() -> Iterator[list[PendingColours]]:
    """Collects the colours that were not available in time for the block."""
    missed: list[PendingColours] = []
    token = _missed.set(missed)
    try:
        yield missed
    finally:
        _missed.reset(token)


def report_missing(pending: list[PendingColours]) -> None:
    """Adds the colours to those that the surrounding `missing_colours` block collects."""
    if (missed := _missed.get()) is not None:
        missed += pending


async def wait_for_colours(pending: Collection[PendingColours], seconds: float) -> bool:
    """Waits at most `seconds` until all colours are available. Returns whether any of them are."""
    if seconds and not all(each.done() for each in pending):
        await asyncio.wait([asyncio.wrap_future(each) for each in pending], timeout=seconds)
    return any(each.done() for each in pending)


class _Job(NamedTuple):
    key: Key
    code: str
    person: Hashable
    pending: PendingColours


class Colours:
    """A cache of up to `size` bytes of coloured code, least recently used first out. Thread-safe."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.program: tuple[str, ...] = (sys.executable, "-I", str(_PROGRAM))
        self.wait_seconds = WAIT_SECONDS
        self._begin()
        os.register_at_fork(after_in_child=self._begin)
        atexit.register(self.close)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[Key, str | None] = OrderedDict()  # None: the code stays plain
        self._used = 0
        self._pending: dict[Key, PendingColours] = {}
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        # By user: seconds left, and the time of that value.
        self._budgets: dict[Hashable, tuple[float, float]] = {}
        self._thread: threading.Thread | None = None
        self._waited = threading.local()
        self._is_closed = False
        self.process: subprocess.Popen[bytes] | None = None

    def html(self, language: str, code: str) -> str | None:
        """Returns the coloured code; None if it is not known yet or stays plain."""
        key = (language, hashlib.blake2b(code.encode(), digest_size=16).digest())
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
            pending = self._pending.get(key) or self._queue_job(key, code)
        if pending is None:
            report_missing([_REFUSED])
            return None
        if (seconds := self._may_wait()) > 0:
            started = time.monotonic()
            wait([pending], seconds)
            self._waited.left -= time.monotonic() - started
        if pending.done():
            return pending.result()
        report_missing([pending])
        return None

    def close(self) -> None:
        """Ends the worker permanently."""
        self._is_closed = True
        if (process := self.process) is not None:
            process.kill()
            process.wait()

    def _may_wait(self) -> float:
        if not _waits.get() or asyncio._get_running_loop() is not None:
            return 0
        now = time.monotonic()
        if now - getattr(self._waited, "since", 0.0) > 1:  # another page
            self._waited.since, self._waited.left = now, self.wait_seconds
        left: float = self._waited.left
        return left

    def _queue_job(self, key: Key, code: str) -> PendingColours | None:
        person = _person.get()
        if len(self._pending) >= MOST_WAITING or (person is not None and self._budget(person) <= 0):
            return None
        pending: PendingColours = Future()
        self._pending[key] = pending
        self._jobs.put(_Job(key, code, person, pending))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="colours", daemon=True)
            self._thread.start()
        return pending

    def _budget(self, person: Hashable) -> float:
        now = time.monotonic()
        left, at = self._budgets.get(person, (BURST_SECONDS, now))
        return min(BURST_SECONDS, left + (now - at) * SECONDS_PER_SECOND)

    def _spend(self, person: Hashable, seconds: float) -> None:
        if person is not None:
            self._budgets[person] = self._budget(person) - seconds, time.monotonic()
            if len(self._budgets) > 10_000:
                self._budgets.clear()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            started = time.monotonic()
            html, is_known = None, False
            try:
                html, is_known = self._coloured(job), True
            except Exception:  # of the machine: no process, no memory
                if self._is_closed:
                    return
                logger.exception("A code block could not be highlighted.")
                self._discard()
            with self._lock:
                self._spend(job.person, time.monotonic() - started + (0 if html is not None else KILL_COST))
                if is_known:
                    self._keep(job.key, html)
                del self._pending[job.key]
            job.pending.set_result(html)

    def _coloured(self, job: _Job) -> str | None:
        line = json.dumps({"language": job.key[0], "code": job.code}).encode() + b"\n"
        for _ in range(2):  # a second time if the worker ended for another reason
            if self._is_closed:
                return None
            process = self.process = self.process or self._start_worker()
            assert process.stdin and process.stdout
            timer = threading.Timer(WALL_SECONDS, process.kill)
            timer.daemon = True
            timer.start()
            try:
                process.stdin.write(line)
                process.stdin.flush()
                line_out = process.stdout.readline()
            except BrokenPipeError:
                line_out = b""
            finally:
                timer.cancel()
            if line_out.endswith(b"\n"):
                html: str | None = json.loads(line_out)
                return html
            self._discard()
            if self._is_closed:
                return None
            if process.returncode == -SIGPROF:
                logger.warning(
                    "Highlighting a code block in %r took too long. The block stays plain.", job.key[0][:40]
                )
                return None
        return None

    def _discard(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _start_worker(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own program, without a shell
            self.program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},  # no secret
            start_new_session=True,
        )

    def _keep(self, key: Key, html: str | None) -> None:
        self._known[key] = html
        self._used += len(html or "") + 200
        while self._used > self._size:
            _, dropped = self._known.popitem(last=False)
            self._used -= len(dropped or "") + 200


_REFUSED: PendingColours = Future()
_REFUSED.set_result(None)

colours = Colours(16 * 1024 * 1024)
