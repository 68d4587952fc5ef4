"""docs/architecture.md names every package, and its pictures show their sources."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from docs.diagrams import PAGE, diagrams

ROOT = PAGE.parent.parent
PACKAGES = sorted({path.parent.name for path in (ROOT / "chat").glob("*/*.py") if path.name != "__init__.py"})
DJANGOS = {"backends", "migrations", "templatetags"}  # folders that Django prescribes


@pytest.mark.parametrize("package", [name for name in PACKAGES if name not in DJANGOS])
def test_the_page_and_its_diagram_name_every_package(package: str) -> None:
    assert f"| `chat/{package}/` |" in PAGE.read_text(encoding="utf-8")
    assert re.search(
        rf"^ *{package}\[", dict(diagrams())[PAGE.with_name("images") / "packages.svg"], re.MULTILINE
    )


# What "Where do I put ..." names before anybody has needed it.
TO_BE_MADE: set[str] = set()


def test_each_file_that_the_page_names_exists_or_is_to_be_created() -> None:
    named = re.findall(
        r"`((?:chat|chatproject|docs|templates|static|tests|locale|deploy)/[\w./]*)`",
        PAGE.read_text(encoding="utf-8"),
    )
    assert len(set(named)) > 80
    assert {path for path in named if not (ROOT / path).exists()} == TO_BE_MADE


@pytest.mark.parametrize(("picture", "source"), list(diagrams()), ids=["packages", "reply"])
def test_a_picture_shows_the_words_of_its_source(picture: Path, source: str) -> None:
    drawn = re.sub(r"<[^>]*>", "\n", html.unescape(picture.read_text(encoding="utf-8")))
    labels = re.findall(r'\["(.*?)"\]|(?:participant \w+ as|loop) (.*)|: (.*)', source)
    assert labels
    for label in ("".join(found) for found in labels):
        for line in label.split("<br/>"):
            assert line in drawn, line
