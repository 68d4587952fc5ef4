"""docs/settings.md names every variable that is read, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from chatproject import env
from tests.servers import ROOT

SECRETS = {"secret", "database", "mailer", "redis"}
READERS = {
    name
    for name in vars(env)
    if not name.startswith("_") and getattr(env, name).__class__.__name__ == "function"
}


def _sources() -> Iterator[ast.AST]:
    for room in ("chat", "chatproject"):
        for path in (ROOT / room).rglob("*.py"):
            yield ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _read() -> dict[str, str]:
    """Returns each variable that is read through `env`, with the name of its reader."""
    found = {}
    for source in _sources():
        for node in ast.walk(source):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name("env"), attr=reader), args=[ast.Constant(str(name)), *_]
                ) if reader in READERS:
                    found[name] = reader
    return found


def _documented() -> dict[str, str]:
    """Returns each variable of the page's tables, with its line."""
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    return {match[1]: match[0] for match in re.finditer(r"^\| `([A-Z_]+)` \|.*$", page, re.MULTILINE)}


def test_every_variable_that_is_read_is_documented() -> None:
    assert _read().keys() - _documented().keys() == set()


def test_every_documented_variable_is_read() -> None:
    assert _documented().keys() - _read().keys() == set()


def test_what_may_come_from_a_file_is_marked_secret() -> None:
    documented = _documented()
    assert {name for name, reader in _read().items() if reader in SECRETS} == {
        name for name, line in documented.items() if "*Secret.*" in line
    }


def test_nothing_else_reads_the_environment() -> None:
    """Other modules may pass the environment on (`os.environ.setdefault` of the settings' module)."""
    readers = set()
    for room in ("chat", "chatproject"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                match node:
                    case ast.Attribute(
                        value=ast.Attribute(value=ast.Name("os"), attr="environ"), attr="setdefault"
                    ):
                        pass
                    case (
                        ast.Attribute(value=ast.Name("os"), attr="getenv")
                        | ast.Subscript(value=ast.Attribute(value=ast.Name("os"), attr="environ"))
                    ):
                        readers.add(path.name)
                    case ast.Attribute(value=ast.Attribute(value=ast.Name("os"), attr="environ")):
                        readers.add(path.name)
    assert readers == {"env.py"}
