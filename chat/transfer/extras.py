"""What a person has besides chats, in Steady's own format: folders, presets and saved prompts.

Each is an entry of `extras`, which `docs/export.md` describes. Here they are dictionaries of plain values
with exactly these fields. A folder that was a project of Claude also has its `documents`, each with `name`
and `text`.
"""

from __future__ import annotations

from typing import Any

from chat.transfer.chats import UnreadableError, dict_of
from chat.translatable import translatable as _

FOLDER, PRESET, PROMPT = "folder", "preset", "prompt"
DOCUMENT = "document"  # a file of a folder, in the counts of an import
MOST_NUMBER = 2**31 - 1
_FIELDS: dict[str, dict[str, type]] = {
    FOLDER: {"name": str, "instructions": str, "preset": str},
    PRESET: {"id": str, "versions": list},
    PROMPT: {"name": str, "text": str},
}
_VERSION: dict[str, type] = {
    "number": int,
    "name": str,
    "instructions": str,
    "model": str,
    "parameters": dict,
    "tools": list,
    "prompts": list,
}


def load(item: Any) -> dict[str, Any]:
    """Returns the entry with all of its fields and no others; the versions of a preset in order. Raises
    `UnreadableError`."""
    item = dict_of(item)
    kind = item.get("type")
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise UnreadableError(_("It is damaged."))
    found = _read(item, _FIELDS[kind])
    if kind == PRESET:
        versions = [_read(dict_of(each), _VERSION) for each in found["versions"]]
        for version in versions:
            version["tools"] = [tool for tool in version["tools"] if isinstance(tool, str)]
            version["prompts"] = [prompt for prompt in version["prompts"] if isinstance(prompt, str)]
        numbers = [version["number"] for version in versions]
        if not numbers or len(set(numbers)) != len(numbers) or not is_number(min(numbers), max(numbers)):
            raise UnreadableError(_("It is damaged."))
        found["versions"] = sorted(versions, key=lambda each: each["number"])
    return {"type": kind, **found}


def is_number(*numbers: object) -> bool:
    """Returns whether these can be numbers of versions of a preset."""
    return all(type(number) is int and 0 < number <= MOST_NUMBER for number in numbers)


def name_of(item: dict[str, Any]) -> str:
    return str(item["versions"][-1]["name"] if item["type"] == PRESET else item["name"])


def _read(item: dict[str, Any], fields: dict[str, type]) -> dict[str, Any]:
    values = {name: item.get(name, kind()) for name, kind in fields.items()}
    if not all(type(value) is fields[name] for name, value in values.items()):
        raise UnreadableError(_("It is damaged."))
    return values
