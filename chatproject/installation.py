"""The location of an installation's data, and whether it exists. Needed before the settings, which create
missing files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from chatproject import env

BASE_DIR = Path(__file__).resolve().parent.parent
# These commands create a database or need none. Any other command requires an existing installation.
_FOR_NOTHING_YET = {
    *("serve", "migrate", "runserver", "test", "testserver", "check", "collectstatic", "findstatic"),
    *("makemigrations", "makemessages", "compilemessages", "diffsettings", "startapp", "help", "version"),
}


def data_directory() -> Path:
    return Path(env.text("STEADY_DATA_DIR", str(BASE_DIR / "data")))


def database() -> dict[str, Any]:
    """Returns Django's database settings. Raises `ImproperlyConfigured` for an invalid address."""
    return env.database("DATABASE_URL", f"sqlite:///{data_directory() / 'steady.sqlite3'}")


def require_for(command: str) -> None:
    """Raises `ImproperlyConfigured`, and creates no file, if `command` (the first argument of `manage.py`)
    needs existing data and this location has none."""
    if command in _FOR_NOTHING_YET or command.startswith("-") or not command:
        return
    config = database()
    path = Path(config["NAME"])
    if config["ENGINE"].endswith("sqlite3") and not _is_filled(path):
        raise ImproperlyConfigured(
            f"No database at {path.absolute()}. Set STEADY_DATA_DIR, or DATABASE_URL, as the server has it, "
            "and run this as the server's user (docs/deploy.md); or start the server first: manage.py serve"
        )


def _is_filled(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
