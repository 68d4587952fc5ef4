"""The generated secret key, so that the first start needs no setting."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def stored_secret_key(data_dir: Path) -> str:
    """Returns the key in `data_dir/secret_key` (mode 600), created on first use. Two processes that start at
    the same time get the same key: the file is written completely beside its final place, and only the first
    link to the name succeeds. Raises `ImproperlyConfigured` if it cannot be created or read."""
    path = data_dir / "secret_key"
    try:
        if not path.exists():
            _make(path)
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"The secret key cannot be kept in {path} ({error.strerror}). Give the server's user the right "
            "to write there, or set STEADY_DATA_DIR to another place."
        ) from error


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".secret_key.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_urlsafe(64), encoding="utf-8")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
