"""The program that reads one file of a person. `prepare` starts it in a process of its own, which may be
killed at any moment.

A malicious file can make a parser take minutes or gigabytes. So the kernel limits this process, and it has no
environment variables and no database. Input is one line of JSON, `{"path", "name", "media_type"}`. Output is
one line of JSON with the fields of `prepare.PreparedFile`; derived files are written beside `path`.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import resource
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).parent))
from detect import IMAGES, PDF, UNKNOWN, ZIP, decode_text, is_text  # type: ignore[import-not-found]

CPU_SECONDS = 20  # then the kernel ends the process
TEXT_SECONDS = 8.0  # of CPU; then a document is cut
MEMORY_BYTES = 1024 * 1024 * 1024
WRITTEN_BYTES = 64 * 1024 * 1024
MAX_PIXELS = 64_000_000
MAX_CHARS = 400_000  # of text for models, about 100,000 tokens
MAX_MEMBER_BYTES = 100 * 1024 * 1024  # of one file in a ZIP archive
MODEL_EDGE = 1568  # pixels; providers scale larger images down to about this
THUMBNAIL_EDGE = 480
MOST_PNG_BYTES = 1_500_000  # a larger one is sent as JPEG

_OFFICE = {
    "word/document.xml": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xl/workbook.xml": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "ppt/presentation.xml": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}
_ODF = "application/vnd.oasis.opendocument."


def read(path: Path, name: str, media_type: str) -> dict[str, Any]:
    """Returns the fields of `prepare.PreparedFile`, and writes the derived files."""
    if media_type in IMAGES:
        return {"media_type": media_type, **image(path)}
    if media_type == PDF:
        return {"media_type": media_type, **pdf(path)}
    if is_text(media_type):
        return text(path, media_type)
    if media_type == ZIP:
        return office(path)
    return {"media_type": media_type, "problem": "" if media_type.startswith("audio/") else "unknown"}


def image(path: Path) -> dict[str, Any]:
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.MAX_IMAGE_PIXELS = None  # checked here, before a pixel is decoded
    try:
        with Image.open(path, formats=["PNG", "JPEG", "GIF", "WEBP"]) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                return {"problem": "too_large"}
            opened.draft("RGB", (MODEL_EDGE * 2, MODEL_EDGE * 2))  # JPEG: decodes fewer pixels
            opened.thumbnail((MODEL_EDGE * 2, MODEL_EDGE * 2))
            upright = ImageOps.exif_transpose(opened)
    except MemoryError:
        return {"problem": "too_large"}
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError):
        return {"problem": "broken"}
    has_alpha = upright.has_transparency_data
    plain = upright.convert("RGBA" if has_alpha else "RGB")
    plain.info.clear()  # no EXIF, no profile, no comment
    plain.thumbnail((MODEL_EDGE, MODEL_EDGE))
    readable_type = _save(plain, path.with_suffix(".read"), lossless=opened.format != "JPEG")
    small = plain.copy()
    small.thumbnail((THUMBNAIL_EDGE, THUMBNAIL_EDGE))
    _save(small, path.with_suffix(".thumb"), lossless=has_alpha)
    width, height = plain.size
    return {"readable_type": readable_type, "width": width, "height": height, "has_thumbnail": True}


def _save(picture: Any, path: Path, *, lossless: bool) -> str:
    if lossless:
        picture.save(path, "PNG")
        if path.stat().st_size <= MOST_PNG_BYTES:
            return "image/png"
    if picture.mode == "RGBA":
        from PIL import Image

        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture.getchannel("A"))
        picture = white
    picture.save(path, "JPEG", quality=85)
    return "image/jpeg"


def pdf(path: Path) -> dict[str, Any]:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    pages = 0
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            return {"problem": "encrypted"}
        pages = len(reader.pages)

        def texts() -> Iterator[str]:
            for number in range(pages):
                try:
                    found = reader.pages[number].extract_text().strip()
                except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError):
                    found = ""  # the other pages can be read
                # Yields a piece without text too, because the time is checked after each piece.
                yield f"[page {number + 1}]\n{found}\n\n" if found else ""

        return {"pages": pages, **_written(path, texts())}
    except MemoryError:
        return {"pages": pages, "problem": "too_large"}
    except Exception as error:  # noqa: BLE001 - a broken file may raise any exception
        needs_key = "crypt" in f"{type(error).__name__} {error}".lower()
        return {"pages": pages, "problem": "encrypted" if needs_key else "broken"}


def text(path: Path, media_type: str) -> dict[str, Any]:
    with path.open("rb") as file:
        data = file.read(4 * MAX_CHARS + 1)
    found = decode_text(data, is_cut=len(data) > 4 * MAX_CHARS)
    if found is None:
        return {"media_type": UNKNOWN, "problem": "unknown"}
    return {"media_type": media_type, **_written(path, [found])}


def office(path: Path) -> dict[str, Any]:
    media_type = ZIP
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            media_type = next((found for member, found in _OFFICE.items() if member in names), ZIP)
            if "mimetype" in names and "content.xml" in names:
                declared = archive.open("mimetype").read(100).decode("ascii", "replace").strip()
                media_type = declared if declared.startswith(_ODF) else ZIP
            if media_type == ZIP:
                return {"media_type": ZIP, "problem": "unknown"}
            if any(member.file_size > MAX_MEMBER_BYTES for member in archive.infolist()):
                return {"media_type": media_type, "problem": "too_large"}
            return {"media_type": media_type, **_written(path, _office_texts(archive, path, media_type))}
    except MemoryError:
        return {"media_type": media_type, "problem": "too_large"}
    except Exception:  # noqa: BLE001 - a broken file may raise any exception
        return {"media_type": media_type, "problem": "broken"}


def _office_texts(archive: zipfile.ZipFile, path: Path, media_type: str) -> Iterator[str]:
    if "spreadsheet" in media_type:
        yield from _sheets(path)
    elif media_type.startswith(_ODF):
        yield from _paragraphs(archive, "content.xml")
    elif "wordprocessing" in media_type:
        yield from _paragraphs(archive, "word/document.xml")
    else:
        slides = {int(found[1]): name for name in archive.namelist() if (found := _SLIDE.fullmatch(name))}
        for number in sorted(slides):
            yield f"[slide {number}]\n"
            yield from _paragraphs(archive, slides[number])
            yield "\n"


_SLIDE = re.compile(r"ppt/slides/slide(\d{1,5})\.xml")


def _paragraphs(archive: zipfile.ZipFile, member: str) -> Iterator[str]:
    """Yields the text of a document's XML in pieces. Paragraphs of all formats are elements `p`, and headings
    of ODF are `h`; Office keeps the text in `t`."""
    is_odf = member == "content.xml"
    with archive.open(member) as file:
        for _, element in ElementTree.iterparse(file, events=("end",)):  # noqa: S314
            tag = element.tag.rpartition("}")[2]
            if is_odf:
                if tag in ("p", "h"):
                    yield "".join(element.itertext()) + "\n"
                    element.clear()
                continue
            match tag:
                case "t":
                    yield element.text or ""
                case "tab" | "tc":
                    yield "\t"
                case "p" | "br" | "tr":
                    yield "\n"
            if tag in ("p", "tr"):
                element.clear()


def _sheets(path: Path) -> Iterator[str]:
    from python_calamine import CalamineWorkbook

    with CalamineWorkbook.from_path(str(path)) as book:
        for name in book.sheet_names:
            yield f"[sheet {name}]\n"
            for row in book.get_sheet_by_name(name).iter_rows():
                line = io.StringIO()
                csv.writer(line, lineterminator="\n").writerow(row)
                yield line.getvalue()
            yield "\n"


def _written(path: Path, pieces: Any) -> dict[str, Any]:
    """Writes the text for models, up to its limits."""
    length, is_cut = 0, False
    with path.with_suffix(".read").open("w", encoding="utf-8", errors="replace") as file:
        for piece in pieces:
            file.write(piece[: MAX_CHARS - length])
            length += len(piece)
            if length > MAX_CHARS or time.process_time() > TEXT_SECONDS:
                is_cut = True
                break
    if not length:
        return {"problem": "empty"}
    return {"readable_type": "text/plain", "is_cut": is_cut}


def main() -> None:
    os.nice(10)  # replies have priority
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (WRITTEN_BYTES, WRITTEN_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    job = json.loads(sys.stdin.readline())
    print(json.dumps(read(Path(job["path"]), job["name"], job["media_type"])))  # noqa: T201


if __name__ == "__main__":
    main()
