"""The type of a file by its first bytes, and names that are safe to show. It imports nothing of Steady,
because the worker process uses it too."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

HEAD_BYTES = 4096
ZIP = "application/zip"
UNKNOWN = "application/octet-stream"
IMAGES = ("image/png", "image/jpeg", "image/gif", "image/webp")
PDF = "application/pdf"

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", PDF),
    (b"PK\x03\x04", ZIP),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_FTYP = {b"M4A ": "audio/mp4", b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heic"}
# The types of text files, which are only ever served as plain text.
_TEXT_NAMES = {".csv": "text/csv", ".tsv": "text/csv", ".json": "application/json", ".md": "text/markdown"}
_NOT_IN_TEXT = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def media_type_of(head: bytes, name: str) -> str:
    """Returns the media type of a file that begins with these bytes. The name distinguishes kinds of text
    only. HTML and SVG are text."""
    for magic, media_type in _MAGIC:
        if head.startswith(magic):
            return media_type
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp":
        return _FTYP.get(head[8:12], UNKNOWN)
    if head.startswith(_UTF_16) or not _NOT_IN_TEXT.search(head):
        return _text_type(name)
    return UNKNOWN


def named_type(media_type: str, name: str) -> str:
    """Returns the media type of a stored content as a file of this name. A content is stored once, with the
    type of its first name."""
    return _text_type(name) if is_text(media_type) else media_type


def _text_type(name: str) -> str:
    return _TEXT_NAMES.get(PurePosixPath(name.lower()).suffix, "text/plain")


def is_text(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type == "application/json"


def decode_text(data: bytes, *, is_cut: bool = False) -> str | None:
    """Returns the text of these bytes, None if they are not text. With `is_cut`, they may end within a
    character."""
    if data.startswith(_UTF_16):
        text = data.decode("utf-16", "replace")
    elif _NOT_IN_TEXT.search(data):
        return None
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            at_end = is_cut and error.start > len(data) - 4
            # Otherwise the text is probably in an old encoding of Western Europe.
            text = data[: error.start].decode("utf-8-sig") if at_end else data.decode("cp1252", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "\ufffd")


def safe_name(name: str, length: int) -> str:
    """Returns a file name to show and to download: without folders, control characters and marks that change
    the direction of text ("exe.fdp" for "pdf.exe"). The end of a long name is kept."""
    name = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    kept = "".join(" " if unicodedata.category(one)[0] in "CZ" else one for one in name)
    name = " ".join(kept.split()).lstrip(".")
    if len(name) > length:
        stem, dot, ending = name.rpartition(".")
        ending = f"{dot}{ending}" if stem and len(ending) < 20 else ""
        name = name[: length - len(ending) - 1] + "…" + ending
    return name or "file"
