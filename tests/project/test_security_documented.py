"""The tests that docs/security.md names exist."""

from __future__ import annotations

import re

from django.conf import settings

DOCUMENT = (settings.BASE_DIR / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_test_that_is_named_is_there() -> None:
    named = {name.removeprefix("tests/") for name in re.findall(r"`((?:\w+/)*test_\w+\.py|\w+/)`", DOCUMENT)}
    assert len(named) > 30
    missing = {name for name in named if not (settings.BASE_DIR / "tests" / name).exists()}
    assert not missing


def test_every_chapter_is_assessed_once() -> None:
    chapters = re.findall(r"^\| (V\d+|LLM\d+) ", DOCUMENT, re.MULTILINE)
    assert chapters == [*(f"V{n}" for n in range(1, 18)), *(f"LLM{n:02}" for n in range(1, 11))]
