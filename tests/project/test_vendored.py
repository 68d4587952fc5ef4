"""Vendored scripts equal the downloaded ones, and images are named by what they contain."""

from __future__ import annotations

import re
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


def test_each_image_is_named_by_its_digest() -> None:
    """But the one that is built here, and the stages of its file."""
    lines = [
        line.strip()
        for name in ("Dockerfile", "compose.yaml")
        for line in (settings.BASE_DIR / name).read_text(encoding="utf-8").splitlines()
    ]
    images = [line.split()[1] for line in lines if line.startswith(("FROM ", "image: "))]
    assert len(images) == 6
    foreign = [image for image in images if image != "steady"]
    assert all(re.fullmatch(r"[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", image) for image in foreign), foreign
