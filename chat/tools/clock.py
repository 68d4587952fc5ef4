"""The current time."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from chat.tools.base import ToolError


def current_time(time_zone: str = "UTC") -> str:
    """Returns the present date, weekday and time. `time_zone` is a name such as "Europe/Berlin"."""
    try:
        zone = UTC if time_zone.upper() == "UTC" else ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError):
        raise ToolError(f"There is no time zone {time_zone[:60]!r}. Names are like Europe/Berlin.") from None
    return datetime.now(zone).strftime("%A, %Y-%m-%d %H:%M:%S %Z (UTC%z)")
