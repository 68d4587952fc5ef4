"""Time that passes on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets seconds pass on the event loop, where all limits end that are shorter."""
    passed = 0.0
    loop_time = asyncio.BaseEventLoop.time

    def move(seconds: float) -> None:
        nonlocal passed
        passed += seconds

    monkeypatch.setattr(asyncio.BaseEventLoop, "time", lambda loop: loop_time(loop) + passed)
    return move
