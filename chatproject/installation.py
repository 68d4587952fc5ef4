"""Where an installation keeps what it has, and whether it is here at all: known before the settings, which
make what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from chatproject import env

BASE_DIR = Path(__file__).resolve().parent.parent
# They make a database, or ask none. Any other command is for an installation that stands.
_FOR_NOTHING_YET = {
    *("serve", "migrate", "runserver", "test", "testserver", "check", "collectstatic", "findstatic"),
    *("makemigrations", "makemessages", "compilemessages", "diffsettings", "startapp", "help", "version"),
}


def data_directory() -> Path:
    return Path(env.text("STEADY_DATA_DIR", str(BASE_DIR / "data")))


def database() -> dict[str, Any]:
    """In Django's form. Raises `ImproperlyConfigured` for an address that is none."""
    return env.database("DATABASE_URL", f"sqlite:///{data_directory() / 'steady.sqlite3'}")


def require_for(command: str) -> None:
    """Raises `ImproperlyConfigured`, and leaves no file behind, where `command` (the first argument of
    `manage.py`) would look for people and chats in a place that has none."""
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
