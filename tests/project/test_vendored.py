"""Vendored scripts equal the downloaded ones."""

from __future__ import annotations

from hashlib import sha256

from django.conf import settings

VENDORED = settings.BASE_DIR / "static" / "vendor"


def test_each_vendored_script_has_its_noted_sum() -> None:
    lines = (VENDORED / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    noted = dict(reversed(line.split("  ", 1)) for line in lines if not line.startswith("#"))
    scripts = {
        str(path.relative_to(VENDORED)): sha256(path.read_bytes()).hexdigest()
        for path in VENDORED.rglob("*.js")
    }
    assert scripts
    assert scripts == noted
