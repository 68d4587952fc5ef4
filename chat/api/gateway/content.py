"""The content of messages: text and files in their order."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from dataclasses import replace

from chat.api.gateway.fields import wrong
from chat.providers.base import File

IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,", re.ASCII)
_WEB = re.compile(r"https?://[^\s/]", re.IGNORECASE)
_BETWEEN = "\n"  # between two pieces of text


class Content:
    """Collects the pieces of one message."""

    def __init__(self) -> None:
        self.files: list[File] = []
        self.length = 0  # of the text, in characters
        self._pieces: list[str] = []  # joined once: adding to a text copies it each time
        self._is_after_text = False

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def add_text(self, text: str) -> None:
        if self._is_after_text:
            self._add(_BETWEEN)
        self._add(text)
        self._is_after_text = True

    def add_file(self, file: File) -> None:
        self.files.append(replace(file, after=self.length))
        self._is_after_text = False

    def _add(self, text: str) -> None:
        self._pieces.append(text)
        self.length += len(text)


def image_of(url: str, path: str, detail: str = "auto") -> File:
    """Returns the image of a data URL, or of a web address, which the provider loads. Raises
    `FailureError`."""
    if _WEB.match(url):
        return File("image/*", url=url, detail=detail)
    file = data_of(url, path)
    return replace(image(file.media_type, file.data, path), detail=detail)


def data_of(url: str, path: str, name: str = "") -> File:
    """Returns the file of a data URL. Raises `FailureError`."""
    if not (found := _DATA_URL.match(url)):
        raise wrong(path, "must be a web address or a data URL with base64")
    return File(found[1].lower(), decoded(url[found.end() :], path), name)


def image(media_type: str, data: bytes, path: str) -> File:
    """Raises `FailureError` for a type of image that no provider reads."""
    if media_type not in IMAGE_TYPES:
        raise wrong(path, f"must be an image: {', '.join(IMAGE_TYPES)}")
    return File(media_type, data)


def decoded(text: str, path: str) -> bytes:
    """Returns the bytes of base64. Raises `FailureError`."""
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise wrong(path, "is not valid base64") from None
