"""`.ci/run` runs all tests, also those that shorter runs leave out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests import conftest
from tests.servers import ROOT

RUN = (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("expression", ["", "slow", "long"])
def test_ci_leaves_nothing_out(
    expression: str, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pytestconfig.option, "markexpr", expression)
    for place in (*conftest._SLOW, *conftest._LONG):
        assert not conftest.pytest_ignore_collect(ROOT / place, pytestconfig), place
    assert "\nexport CI=true " in RUN  # `pytest` alone then runs the long suites too
    assert "\nrun_tests all --numprocesses=4 || status=$?\n" in RUN
    assert '  uv run pytest -q -o cache_dir="$scratch/cache-$1" "${@:2}"\n' in RUN
    assert not [
        it for it in pytestconfig.getini("addopts") if it.startswith(("-m", "-k", "--ignore", "--des"))
    ]


@pytest.mark.parametrize(
    ("expression", "left_out"), [("not slow", conftest._SLOW), ("not long", conftest._LONG)]
)
def test_a_shorter_run_leaves_out_what_it_says(
    expression: str, left_out: tuple[str, ...], pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pytestconfig.option, "markexpr", expression)
    assert all(conftest.pytest_ignore_collect(ROOT / place, pytestconfig) for place in left_out)
    assert not conftest.pytest_ignore_collect(ROOT / "tests" / "project" / "test_tiers.py", pytestconfig)


def test_workers_leave_out_the_same(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    node: Any = SimpleNamespace(workerinput={}, config=pytestconfig)
    monkeypatch.setattr(pytestconfig.option, "markexpr", "not long")
    conftest.pytest_configure_node(node)
    assert node.workerinput == {"markexpr": "not long"}


def test_each_suite_that_is_named_exists() -> None:
    places = (*conftest._SLOW, *conftest._LONG, *conftest._ONCE, *conftest._FIRST)
    assert [place for place in places if not (ROOT / place).exists()] == []
    assert [place for place in conftest._LONG if not place.startswith(tuple(conftest._SLOW))] == []
