"""A short seeded selection of the randomised kills and cuts (`python -m tests.faults.run` has more)."""

from __future__ import annotations

import random

import pytest

from tests.faults.installation import Installation
from tests.faults.run import PHASES, TRANSPORTS, batch

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEED = 20


@pytest.mark.parametrize("fault", ["kill", "cut"])
async def test_nothing_is_lost_in_any_phase(steady: Installation, fault: str) -> None:
    size = len(PHASES) * len(TRANSPORTS)
    runs = await batch(steady, steady.proxy, fault, size, random.Random(SEED))
    assert {(run.phase, run.transport) for run in runs} == {(p, t) for p in PHASES for t in TRANSPORTS}
    assert [run for run in runs if run.broken] == []
    assert any(run.acknowledged for run in runs)
    if fault == "kill" and steady.backend == "sqlite":
        assert any(run.status == "interrupted" for run in runs)
