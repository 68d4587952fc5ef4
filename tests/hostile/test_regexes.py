"""Every regular expression of the project that processes untrusted text takes linear time.

They are found in the modules' values, and in the source of functions. How an expression is used decides how
it is tried: an expression that is only matched at a position is not searched for.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import chat
from tests.hostile.inputs import ATOMS, LONG, assert_linear

ROOT = Path(chat.__file__).parent
SIZE = 12_000

# The maximum input of an expression, in characters, if it is less than a page of text.
BOUNDED: dict[str, int] = {}

MATCHED: set[str] = set()  # written where they are used, at a given position

# Built from untrusted text at the place of use, where they are tried by `test_rendering`.
MADE_THERE = {"chat/rendering/repair.py", "chat/rendering/math.py"}


PARTS = 8  # tests of a part of the expressions each


@cache
def modules() -> list[ModuleType]:
    names = [found.name for found in pkgutil.walk_packages([str(ROOT)], "chat.")]
    return [importlib.import_module(name) for name in names if ".migrations" not in name]


def patterns_in(value: object) -> Iterator[re.Pattern[str]]:
    match value:
        case re.Pattern() if isinstance(value.pattern, str):
            yield value
        case dict():
            for item in value.values():
                yield from patterns_in(item)
        case list() | tuple() | set() | frozenset():
            for item in value:
                yield from patterns_in(item)


@cache
def collected() -> dict[str, re.Pattern[str]]:
    """Imports all modules of the project, so it is not called when tests are collected."""
    found: dict[str, re.Pattern[str]] = {}
    for module in modules():
        for value in list(vars(module).values()):
            for pattern in patterns_in(value):
                found.setdefault(pattern.pattern, pattern)
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "re"):
                continue
            pattern = node.args[0]
            if isinstance(pattern, ast.Constant) and isinstance(pattern.value, str):
                flags = re.DOTALL if len(node.args) > 2 or "DOTALL" in ast.dump(node) else 0
                found.setdefault(pattern.value, re.compile(pattern.value, flags))
                if node.func.attr in {"match", "fullmatch"}:
                    MATCHED.add(pattern.value)
    return found


@cache
def sources() -> str:
    return "\n".join(path.read_text() for path in sorted(ROOT.rglob("*.py")))


def names_of(pattern: re.Pattern[str]) -> list[str]:
    return [name for module in modules() for name, value in vars(module).items() if value is pattern]


def is_only_matched(pattern: re.Pattern[str]) -> bool:
    """Returns whether every use of it begins at a given position."""
    if pattern.pattern in MATCHED:
        return True
    names = names_of(pattern)
    uses = {use for name in names for use in re.findall(rf"\b{name}\.(\w+)\(", sources())}
    loose = any(
        re.search(rf"\b{name}\b(?!\.|:| =)", sources().replace(f"import {name}", "")) for name in names
    )
    return bool(uses) and uses <= {"match", "fullmatch"} and not loose


def runs(pattern: re.Pattern[str]) -> list[Callable[[str], object]]:
    if is_only_matched(pattern):
        return [pattern.match, pattern.fullmatch]
    return [lambda text: sum(1 for _ in pattern.finditer(text))]


def units(pattern: re.Pattern[str]) -> list[str]:
    """Returns the characters and runs of text in the expression itself, and those in others."""
    plain = re.sub(r"\\[bBdDsSwWzZA]|[()\[\]{}?*+^$|]", " ", pattern.pattern)
    words = {word.replace("\\", "") for word in plain.split()}
    letters = {letter for word in words for letter in word}
    source = random.Random(ascii(pattern.pattern))
    own = sorted({*words, *letters} - {""})
    mixed = [
        "".join(source.choice([*own, " ", "a", "\n"]) for _ in range(source.randint(2, 4))) for _ in range(20)
    ]
    return [*ATOMS, *own[:60], *mixed] if LONG else [*own[:20], *mixed[:5], " ", "\n", "a"]


def test_the_expressions_are_found() -> None:
    assert len(collected()) > 40


def test_no_expression_is_built_from_foreign_text_elsewhere() -> None:
    made = set()
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text())
        inside = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        for function in inside:
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id == "re"
                    and node.args
                    and not isinstance(node.args[0], ast.Constant)
                    and node.func.attr != "escape"
                ):
                    made.add(str(path.relative_to(ROOT.parent)))
    # The patterns of an administrator; and escaped words without repetition.
    assert made - MADE_THERE <= {"chat/pipeline/transform.py", "chat/search/highlight.py"}


@pytest.mark.parametrize("part", range(PARTS))
def test_an_expression_is_linear(part: int) -> None:
    for source, pattern in sorted(collected().items())[part::PARTS]:
        size = min(SIZE, BOUNDED.get(source, SIZE))
        for run in runs(pattern):
            for unit in units(pattern):
                assert_linear(run, unit, size)
                if LONG:
                    assert_linear(run, unit, size, "a@" if "@" in source else "<")
