"""Encodes files for a request (as base64, as a data URL, or as text), and decodes those of an answer."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator

from chat.providers.base import File, Turn
from chat.providers.errors import InvalidRequestError, UnsupportedOptionError
from chat.providers.events import GeneratedFile
from chat.translatable import translatable as _

_TEXT_TYPES = {"application/json", "application/xml", "application/yaml", "application/x-ndjson"}


def base64_of(file: File) -> str:
    return b64encode(file.data).decode("ascii")


def data_url(file: File) -> str:
    return f"data:{file.media_type};base64,{base64_of(file)}"


def generated_file(data: str) -> GeneratedFile:
    """Returns a file of an answer, from base64 or a data URL. No other address is loaded: it could be one of
    the server's own network."""
    head, comma, rest = data.partition(",")
    if comma and not (head.startswith("data:") and head.endswith(";base64")):
        return GeneratedFile(b"")
    try:
        return GeneratedFile(b64decode(rest if comma else data, validate=True))
    except ValueError:
        return GeneratedFile(b"")


def is_image(file: File) -> bool:
    return file.media_type.startswith("image/")


def is_text(file: File) -> bool:
    return file.media_type.startswith("text/") or file.media_type in _TEXT_TYPES


def pieces(turn: Turn) -> Iterator[str | File]:
    """Yields the turn's text and files in their order. Text files, which every provider can read, are part of
    the text."""
    text = ""
    begin = 0
    for file in sorted(turn.files, key=lambda file: file.after):
        text += turn.text[begin : file.after]
        begin = max(begin, file.after)
        if is_text(file):
            document = file.data.decode("utf-8", "replace")
            name = file.name.replace('"', "'")
            text += f'<document name="{name}">\n{document}\n</document>\n\n'
            continue
        if text:
            yield text
        yield file
        text = ""
    if text := text + turn.text[begin:]:
        yield text


def require_data(file: File) -> File:
    """Returns the file. Raises `UnsupportedOptionError` if it has a URL instead of data."""
    if file.url:
        raise UnsupportedOptionError("image URL")
    return file


def unreadable_error(file: File) -> InvalidRequestError:
    """Returns the error for a type of file that cannot be sent to the provider."""
    return InvalidRequestError(
        _("This model cannot read this kind of file. Remove it, or choose another model."),
        detail=f"Files of type {file.media_type!r} cannot be sent.",
    )
