"""Files on their way to a model: as a data URL, or as text where a text will do."""

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
    """The turn's text, with its text files before it: every provider reads those."""
    documents = (
        f'<document name="{file.name}">\n{file.data.decode("utf-8", "replace")}\n</document>'
        for file in turn.files
        if is_text(file)
    )
    return "\n\n".join((*documents, turn.text)) if turn.files else turn.text


def unreadable(file: File) -> InvalidRequestError:
    """The error for a file that the provider has no way to take."""
    return InvalidRequestError(
        _("This model cannot read this kind of file. Remove it, or choose another model."),
        detail=f"No way to send {file.media_type!r}.",
    )
