"""Reads a JSON object field by field, and refuses what is wrong, unknown or not supported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from chat.api.gateway.failures import FailureError

MOST_DEPTH = 64  # of objects and lists inside each other
MOST_ITEMS = 10_000  # of one list
MOST_OBJECTS = 50_000  # in all lists of a body: messages and their parts, tools


@dataclass
class _Count:
    """The objects that were read from the lists of one body."""

    objects: int = 0


class Fields:
    """The fields of one object. `path` is its place in the body, such as `messages[2]`. A field that is null
    counts as missing. All methods raise `FailureError` (400)."""

    def __init__(self, value: object, path: str = "", count: _Count | None = None) -> None:
        if not isinstance(value, dict):
            raise wrong(path, "must be an object")
        self.path = path
        self._count = count or _Count()
        self._left: dict[str, Any] = {name: it for name, it in value.items() if it is not None}

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def peek(self, name: str) -> Any:
        """Returns the value and leaves it; None if it is missing."""
        return self._left.get(name)

    def any(self, name: str) -> Any:
        """Returns the value as it is; None if it is missing."""
        return self._left.pop(name, None)

    def text(self, name: str, default: str | None = None) -> str:
        """Without a default, the field is required."""
        value = self.any(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise wrong(self.at(name), "must be a string")
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str | None:
        value = self.any(name)
        if value is not None and value not in choices:
            raise wrong(self.at(name), f"must be one of {', '.join(choices)}")
        return value if value is None else str(value)

    def boolean(self, name: str) -> bool | None:
        value = self.any(name)
        if value is not None and not isinstance(value, bool):
            raise wrong(self.at(name), "must be true or false")
        return value

    def number(self, name: str, least: float, most: float) -> float | None:
        value = self.any(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise wrong(self.at(name), f"must be a number from {least:g} to {most:g}")
        return value

    def integer(self, name: str, least: int = 1, most: int = 2**31 - 1) -> int | None:
        value = self.any(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise wrong(self.at(name), f"must be a whole number from {least} to {most}")
        return value

    def object(self, name: str) -> Fields | None:
        value = self.any(name)
        return None if value is None else Fields(value, self.at(name), self._count)

    def objects(self, name: str) -> Iterator[Fields]:
        """Yields the objects of a list; nothing if it is missing."""
        value = self.any(name)
        if value is not None and not isinstance(value, list):
            raise wrong(self.at(name), "must be a list")
        self._check_length(name, value or ())
        self._count.objects += len(value or ())
        if self._count.objects > MOST_OBJECTS:
            raise wrong("", f"may have at most {MOST_OBJECTS} messages and parts in all")
        for number, it in enumerate(value or ()):
            yield Fields(it, f"{self.at(name)}[{number}]", self._count)

    def texts(self, name: str) -> list[str]:
        """Returns a list of strings; a single string is a list of one."""
        value = self.any(name)
        values = [value] if isinstance(value, str) else value or []
        if not isinstance(values, list) or not all(isinstance(it, str) for it in values):
            raise wrong(self.at(name), "must be a string or a list of strings")
        self._check_length(name, values)
        return values

    def schema(self, name: str) -> dict[str, Any] | None:
        """Returns a JSON object that is sent on, such as a JSON Schema."""
        value = self.any(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise wrong(self.at(name), "must be an object")
        if is_deeper(value, MOST_DEPTH):
            raise wrong(self.at(name), "is nested too deeply")
        return value

    def ignore(self, *names: str) -> None:
        """Drops fields that change nothing in the answer, such as the program's own notes."""
        for name in names:
            self._left.pop(name, None)

    def expect(self, **values: Any) -> None:
        """Drops fields that have the only value that is supported."""
        for name, expected in values.items():
            value = self.any(name)
            if value is not None and value not in (expected if isinstance(expected, tuple) else (expected,)):
                raise wrong(self.at(name), "has a value that this server does not support")

    def done(self) -> None:
        """Refuses the fields that are left."""
        for name in self._left:
            raise wrong(self.at(name[:100]), "is not supported by this server")

    def _check_length(self, name: str, values: Sequence[Any]) -> None:
        if len(values) > MOST_ITEMS:
            raise wrong(self.at(name), f"may have at most {MOST_ITEMS} items")


def wrong(path: str, words: str) -> FailureError:
    return FailureError(400, f"{path or 'The body'} {words}.", "invalid_value", path or None)


def is_deeper(value: object, depth: int) -> bool:
    """Returns whether objects and lists are nested more deeply than `depth`."""
    layer = [value]
    for _ in range(depth):
        inner = [it.values() if isinstance(it, dict) else it for it in layer if isinstance(it, dict | list)]
        layer = [it for values in inner for it in values]
        if not layer:
            return False
    return True
