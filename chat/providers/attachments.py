"""Encodes files for a request: as base64, as a data URL, or as text."""

from __future__ import annotations

from base64 import b64encode

from chat.providers.base import File, Turn
from chat.providers.errors import InvalidRequestError
from chat.translatable import translatable as _

_TEXT_TYPES = {"application/json", "application/xml", "application/yaml", "application/x-ndjson"}


def base64_of(file: File) -> str:
    return b64encode(file.data).decode("ascii")


def data_url(file: File) -> str:
    return f"data:{file.media_type};base64,{base64_of(file)}"


def is_image(file: File) -> bool:
    return file.media_type.startswith("image/")


def is_text(file: File) -> bool:
    return file.media_type.startswith("text/") or file.media_type in _TEXT_TYPES


def text_of(turn: Turn) -> str:
    """Returns the turn's text after its text files, which every provider can read."""
    documents = (
        f'<document name="{file.name}">\n{file.data.decode("utf-8", "replace")}\n</document>'
        for file in turn.files
        if is_text(file)
    )
    return "\n\n".join((*documents, turn.text)) if turn.files else turn.text


def unreadable(file: File) -> InvalidRequestError:
    """Returns the error for a type of file that cannot be sent to the provider."""
    return InvalidRequestError(
        _("This model cannot read this kind of file. Remove it, or choose another model."),
        detail=f"Files of type {file.media_type!r} cannot be sent.",
    )
