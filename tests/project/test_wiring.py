"""Importing a module changes no other one and builds nothing: what has state gets its collaborators when the
process builds it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ADMIN = "chat/admin/__init__.py"  # sets the texts and the log-in of Django's own site, which takes them so


def run_on_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below this one that run when their module is imported: not the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from run_on_import(child)


def assigned_on_import(source: str) -> list[str]:
    """The attributes of imported names that a module assigns or deletes when it is imported."""
    nodes = list(run_on_import(ast.parse(source)))
    imported = {
        (alias.asname or alias.name).partition(".")[0]
        for node in nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    found = []
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            owner: ast.expr = node
            while isinstance(owner, ast.Attribute | ast.Subscript | ast.Call):
                owner = owner.func if isinstance(owner, ast.Call) else owner.value
            if isinstance(owner, ast.Name) and owner.id in imported:
                found.append(ast.unparse(node))
    return found


def test_no_module_assigns_an_attribute_of_what_it_imports() -> None:
    found = {
        str(path.relative_to(ROOT)): names
        for path in (ROOT / "chat").rglob("*.py")
        if (names := assigned_on_import(path.read_text()))
    }
    assert found.keys() <= {ADMIN}, found


def test_such_an_assignment_is_seen_wherever_it_runs_on_import() -> None:
    source = "from a import b\nimport c.d\nif 1:\n    b.x.y = 1\nclass K:\n    c.d.e, z = 1, 2\n"
    assert assigned_on_import(source) == ["b.x.y", "c.d.e"]
    assert assigned_on_import("from a import b\ndef f():\n    b.x = 1\nk = b.x\nown = 1\n") == []


BUILT = """
import django
django.setup()
import chat.actions.send, chat.management.server, chat.runtime, chat.urls, chatproject.asgi
assert chat.runtime._current is None, "built on import"
assert chat.runtime.current() is chat.runtime.current()
"""


def test_importing_the_server_builds_no_runtime() -> None:
    """The first use builds it."""
    env = {"DJANGO_SETTINGS_MODULE": "chatproject.settings"}
    done = subprocess.run(
        [sys.executable, "-c", BUILT], cwd=ROOT, env=os.environ | env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
