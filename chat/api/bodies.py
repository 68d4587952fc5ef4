"""The bodies of uploads: raw bytes, read in pieces and never as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Any

from django.http import HttpRequest

from chat.files.store import PIECE_BYTES

# For the OpenAPI document.
RAW = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class Body:
    """The body of a request. Our server has it in a file on the disk and passes that on in the scope
    (`management.connections`); another server has passed its bytes to Django, which did the same."""

    def __init__(self, request: HttpRequest) -> None:
        scope: dict[str, Any] = getattr(request, "scope", {})
        spooled: IO[bytes] | None = scope.get("steady.body")
        self.file: Any = request if spooled is None else spooled
        if spooled is None:
            length = request.META.get("CONTENT_LENGTH") or "0"
            self.size = int(length) if length.isascii() and length.isdigit() else 0
        else:
            self.size = spooled.seek(0, os.SEEK_END)
            spooled.seek(0)

    def pieces(self) -> Iterator[bytes]:
        """Yields the bytes. Runs on a thread: it reads from the disk."""
        while data := self.file.read(PIECE_BYTES):
            yield data
