"""The secret key that an install makes for itself, so that the first start needs no setting."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def stored_secret_key(data_dir: Path) -> str:
    """The key kept in `data_dir/secret_key` (mode 600), made on first use. Two processes that start at
    once agree: the file is written whole beside its place, and only the first link to the name holds."""
    path = data_dir / "secret_key"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        draft = data_dir / f".secret_key.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(64), encoding="utf-8")
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text(encoding="utf-8").strip()
