"""Ids and numbers in the fields of a request."""

from __future__ import annotations

from uuid import UUID

from chat.actions.errors import InvalidInputError
from chat.translatable import translatable

UNREADABLE = translatable("The page sent something that cannot be read. Reload it.")


def uuid_of(value: str) -> UUID:
    """Returns the id. Raises `InvalidInputError`."""
    try:
        return UUID(value)
    except ValueError:
        raise InvalidInputError(UNREADABLE) from None


def optional_uuid_of(value: str) -> UUID | None:
    """Returns the id, or None for an empty field. Raises `InvalidInputError`."""
    return uuid_of(value) if value else None


def number_of(value: str, *, digits: int = 18) -> int:
    """Returns the number, or 0 for anything but a few decimal digits."""
    return int(value) if value.isascii() and value.isdigit() and len(value) <= digits else 0
