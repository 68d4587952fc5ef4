from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.storage import storages


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, settings: object) -> Iterator[Path]:
    """The files of the test, in a folder of its own."""
    settings.STORAGES = {  # type: ignore[attr-defined]
        **settings.STORAGES,  # type: ignore[attr-defined]
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "files")},
        },
    }
    storages._storages.clear()  # type: ignore[attr-defined]
    yield tmp_path / "files"
    storages._storages.clear()  # type: ignore[attr-defined]
