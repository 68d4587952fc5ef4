"""Reads a new file in a process of its own: its type, its picture for the page, and what models get."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

from chat.files.detect import HEAD_BYTES, IMAGES, PDF, UNKNOWN, media_type_of
from chat.models.attachment import Problem
from chat.pipeline.tokens import estimate_tokens

WALL_SECONDS = 40.0  # for any reason: the machine is busy
PAGE_TOKENS = 2_000  # a page of a PDF, which a provider reads as text and picture
AUDIO_TOKENS = 32  # a second, as Gemini counts; OpenAI counts fewer
COMPRESSED_BYTES = 16_000  # a second of an MP3 file of 128 kbit/s
LEAST_BYTES = 4_000  # a second

_PROGRAM = Path(__file__).with_name("worker.py")
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Prepared:
    """As the fields of `StoredFile`. The thumbnail and what models read are beside the file, with the endings
    `.thumb` and `.read`."""

    media_type: str
    problem: str = ""
    readable_type: str = ""
    has_thumbnail: bool = False
    width: int = 0
    height: int = 0
    pages: int = 0
    is_cut: bool = False
    tokens: int = 0


def prepared(path: Path, name: str) -> Prepared:
    """Reads the file at `path`. Blocks for as long as the worker needs. A file that the worker cannot read in
    time has a `problem`; it is kept all the same."""
    with path.open("rb") as file:
        media_type = media_type_of(file.read(HEAD_BYTES), name)
    found = _worked(path, name, media_type)
    if found.readable_type.startswith("text/"):
        found.tokens = estimate_tokens(path.with_suffix(".read").read_text(encoding="utf-8"))
    elif found.media_type in IMAGES:
        found.tokens = found.width * found.height // 750
    elif found.media_type.startswith("audio/"):
        found.tokens = _audio_tokens(path, found.media_type)
    if found.media_type == PDF:
        found.tokens = max(found.tokens, min(found.pages, 100) * PAGE_TOKENS)
    return found


def _audio_tokens(path: Path, media_type: str) -> int:
    """Returns about how many tokens a recording has, by its length in seconds."""
    with path.open("rb") as file:
        head = file.read(32)
    # A WAV file says how many bytes a second has (in its first chunk). Nobody checks that it is true.
    said = int.from_bytes(head[28:32], "little") if media_type == "audio/wav" else 0
    return path.stat().st_size * AUDIO_TOKENS // max(said or COMPRESSED_BYTES, LEAST_BYTES)


def _worked(path: Path, name: str, media_type: str) -> Prepared:
    job = json.dumps({"path": str(path), "name": name, "media_type": media_type}) + "\n"
    try:
        done = subprocess.run(  # noqa: S603 - our own program, without a shell
            (sys.executable, "-I", str(_PROGRAM)),
            input=job.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WALL_SECONDS,
            env={},  # no secret
            cwd=path.parent,
            start_new_session=True,
            check=True,
        )
        known = {field.name for field in fields(Prepared)}
        said = {key: value for key, value in json.loads(done.stdout).items() if key in known}
        return Prepared(**said)
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        logger.warning("A file of type %s could not be read: %s", media_type, type(error).__name__)
        return Prepared(media_type, Problem.UNKNOWN if media_type == UNKNOWN else Problem.TOO_LARGE)
