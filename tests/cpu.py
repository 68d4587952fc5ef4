"""`pytest --cpu` prints the CPU seconds of each file and of the most expensive tests, with their processes:
servers, browsers and commands. Unlike elapsed time they hardly depend on other programs. A fixture
counts for the test that sets it up or removes it, and the start of a worker for its first test."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

_TICKS = os.sysconf("SC_CLK_TCK")
_SHOWN = 25


class Cpu:
    def __init__(self) -> None:
        self._before = 0.0
        self._tests: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        now = _seconds(os.getpid())
        report.user_properties = [("cpu", max(0.0, now - self._before))]
        self._before = now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._tests[report.nodeid] += dict(report.user_properties).get("cpu", 0.0)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        files: Counter[str] = Counter()
        for test, seconds in self._tests.items():
            files[test.partition("::")[0]] += seconds
        terminalreporter.section(f"CPU: {sum(files.values()):.0f} s")
        for name, seconds in (*files.most_common(), ("", 0), *self._tests.most_common(_SHOWN)):
            terminalreporter.line(f"{seconds:8.1f} s  {name}" if name else "")


def _seconds(pid: int) -> float:
    """Returns what a process, its ended children and its living descendants have used."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return 0.0
    children = [child for thread in threads for child in _children(thread)]
    return sum(map(int, fields[11:15])) / _TICKS + sum(map(_seconds, children))


def _children(thread: Path) -> list[int]:
    try:
        return [int(child) for child in (thread / "children").read_text(encoding="ascii").split()]
    except (FileNotFoundError, ProcessLookupError):  # the thread has just ended, and its process goes on
        return []
