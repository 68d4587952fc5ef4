"""Provider metadata that must be sent back unchanged: signatures, encrypted reasoning.

A turn has its text in one piece and its tool calls in a list. So each piece of metadata has a position:
whether text precedes it, and how many tool calls. It is sent back only to the same kind of provider and the
same model: another one would reject it or, worse, accept it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chat.providers.base import Turn


def position_of(*, has_text: bool, calls: int) -> dict[str, Any]:
    """Returns the position of a piece of metadata in its turn, as fields of its `data`."""
    return {"after_text": has_text, "after_calls": calls}


@dataclass(frozen=True, slots=True)
class OpaqueData:
    """A turn's metadata for one provider and model, in the order of the stream."""

    all: Sequence[Mapping[str, Any]]

    @property
    def before_text(self) -> list[Mapping[str, Any]]:
        return [data for data in self.all if not data["after_text"] and not data["after_calls"]]

    def before_call(self, number: int) -> list[Mapping[str, Any]]:
        """Returns the metadata between the text or call `number - 1` and call `number`."""
        return [
            data
            for data in self.all
            if data["after_calls"] == number and (data["after_text"] or data["after_calls"])
        ]


def opaque_of(turn: Turn, kind: str, model: str) -> OpaqueData:
    """Returns the metadata of `turn` for this kind of provider and this model."""
    parts = [part for part in turn.opaque if part.kind == kind]
    return OpaqueData([part.data for part in parts if part.data.get("model") == model])
