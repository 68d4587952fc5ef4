"""Reads a provider's list of models entry by entry: an invalid entry does not affect the others.

Invalid values are left out, with a remark in English for administrators.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from chat.providers.base import ModelInfo

MOST_TOKENS = 2**31 - 1  # the maximum of the catalog's columns
NAME_LENGTH = 200


class Entry:
    """One entry of a list, with remarks on its invalid values. Raises `TypeError` if it is not a JSON
    object."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, Mapping):
            raise TypeError("it is not an object")
        self.value: Mapping[str, Any] = value
        self.remarks: list[str] = []

    def name(self, key: str) -> str:
        """Returns the model's id. Raises `ValueError` if it is missing or invalid."""
        value = self.value.get(key)
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"it has no {key}")
        if not value.isprintable() or len(value) > NAME_LENGTH:
            raise ValueError(f"its {key} is too long or cannot be printed")
        return value

    def text(self, key: str) -> str:
        """Returns a text for people; "" if it is missing."""
        value = self.value.get(key)
        if not isinstance(value, str):
            return ""
        return "".join(character for character in value if character.isprintable())[:NAME_LENGTH]

    def object(self, key: str) -> Mapping[str, Any]:
        """Returns the object of this name; an empty one if it is missing."""
        value = self.value.get(key)
        return value if isinstance(value, Mapping) else {}

    def tokens(self, *keys: str) -> int | None:
        """Returns the first of these that is a number of tokens; None if all are missing or 0."""
        for key in keys:
            value = self.value.get(key)
            if value is None or value == "" or value is False or value == 0:
                continue
            number = int(value) if isinstance(value, str) and re.fullmatch(r"\d{1,12}", value) else value
            if type(number) is int and 0 < number <= MOST_TOKENS:
                return number
            self.remarks.append(f"{key} {str(value)[:30]!r} is not a number of tokens.")
        return None


def read_models(entries: object, read: Callable[[Entry], ModelInfo | None]) -> list[ModelInfo]:
    """Returns the result of `read` for each entry. `read` returns None for a model that cannot chat. An
    invalid entry becomes a `ModelInfo` without a name, with a remark. Raises `TypeError` if `entries` is not
    a list."""
    if not isinstance(entries, list):
        raise TypeError("the models are not a list")
    models = []
    for number, value in enumerate(entries, 1):
        try:
            entry = Entry(value)
            info = read(entry)
        except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
            models.append(ModelInfo("", remark=f"Entry {number} is left out: {error}."))
            continue
        if info is not None:
            remark = " ".join(f"{info.name}: {words}" for words in entry.remarks)
            models.append(replace(info, remark=remark) if remark else info)
    return models
