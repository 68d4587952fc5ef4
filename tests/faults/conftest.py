"""The installations of the fault tests, one for each database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable
from itertools import product
from typing import Any

import pytest
import pytest_asyncio

from tests.faults.client import Person
from tests.faults.installation import LONG, Installation, installation

BACKENDS: list[Any] = [
    "sqlite",
    pytest.param("postgres", marks=[pytest.mark.needs_postgres, pytest.mark.needs_redis]),
]


def one(backend: str) -> list[Any]:
    """Returns this database. In a long run, returns both."""
    return BACKENDS if LONG else [BACKENDS[["sqlite", "postgres"].index(backend)]]


def on_one(backend: str) -> pytest.MarkDecorator:
    """Runs tests that differ little by database on this one, and in a long run on both."""
    return pytest.mark.parametrize("shared", one(backend), indirect=True, scope="session")


def with_backend(short: Iterable[tuple[str, str]], others: Iterable[str]) -> pytest.MarkDecorator:
    """Runs a test with these pairs of a database and a transport. A long run has each transport of `others`
    with each database."""
    pairs = product(["sqlite", "postgres"], others) if LONG else short
    needs = {"sqlite": [], "postgres": [pytest.mark.needs_postgres, pytest.mark.needs_redis]}
    values = [pytest.param(*pair, marks=needs[pair[0]]) for pair in pairs]
    return pytest.mark.parametrize(("shared", "transport"), values, indirect=["shared"], scope="session")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the last log lines of the servers to a failed report."""
    report = yield
    steady = getattr(item, "funcargs", {}).get("steady")
    if report.failed and isinstance(steady, Installation):
        report.sections.append(("Server processes", steady.logs()[-6000:]))
    return report


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=BACKENDS)
async def shared(request: pytest.FixtureRequest) -> AsyncIterator[Installation]:
    async with installation(request.param) as it:
        yield it


@pytest_asyncio.fixture(loop_scope="session")
async def steady(shared: Installation) -> AsyncIterator[Installation]:
    """A running installation. Processes ended by a test are started again afterwards."""
    yield shared
    await shared.repair()


@pytest_asyncio.fixture(loop_scope="session")
async def person(steady: Installation) -> AsyncIterator[Person]:
    someone = await steady.newcomer()
    async with someone.http:
        yield someone


@pytest.fixture(params=["ws", "sse"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)
