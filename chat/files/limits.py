"""The limits of uploads."""

from __future__ import annotations

from dataclasses import dataclass

from chat.models import ServerSettings

MB = 1024 * 1024
MOST_IN_A_PROMPT = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """The bytes of one file, and of all files of a person."""

    file: int
    person: int

    @classmethod
    def current(cls) -> Limits:
        settings = ServerSettings.current()
        return cls(settings.file_mb * MB, settings.person_files_mb * MB)
