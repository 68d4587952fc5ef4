"""Reads a new file in a process of its own: its type, a thumbnail for the page, and the form that models
get."""

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

WALL_SECONDS = 40.0  # more than the worker's CPU seconds, because the machine may be busy
PAGE_TOKENS = 2_000  # a page of a PDF, which a provider reads as text and picture
AUDIO_TOKENS = 32  # a second, as Gemini counts; OpenAI counts fewer
COMPRESSED_BYTES = 16_000  # a second of an MP3 file of 128 kbit/s
LEAST_BYTES = 4_000  # a second

_PROGRAM = Path(__file__).with_name("worker.py")
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class PreparedFile:
    """The fields of `StoredFile` that the worker found. The thumbnail and the form for models are beside the
    file, with the endings `.thumb` and `.read`."""

    media_type: str
    problem: str = ""
    readable_type: str = ""
    has_thumbnail: bool = False
    width: int = 0
    height: int = 0
    pages: int = 0
    is_cut: bool = False
    tokens: int = 0


def prepare_file(path: Path, name: str) -> PreparedFile:
    """Reads the file at `path`. Blocks while the worker runs. A file that the worker cannot read in time has
    a `problem`, and is kept."""
    with path.open("rb") as file:
        media_type = media_type_of(file.read(HEAD_BYTES), name)
    found = _run_worker(path, name, media_type)
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
    """Returns the estimated tokens of a recording, by its length in seconds."""
    with path.open("rb") as file:
        head = file.read(32)
    # The first chunk of a WAV file has the number of bytes of a second, which may be wrong.
    declared = int.from_bytes(head[28:32], "little") if media_type == "audio/wav" else 0
    return path.stat().st_size * AUDIO_TOKENS // max(declared or COMPRESSED_BYTES, LEAST_BYTES)


def _run_worker(path: Path, name: str, media_type: str) -> PreparedFile:
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
        known = {field.name for field in fields(PreparedFile)}
        values = {key: value for key, value in json.loads(done.stdout).items() if key in known}
        return PreparedFile(**values)
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        logger.warning("The worker could not read a file of type %s: %s", media_type, type(error).__name__)
        return PreparedFile(media_type, Problem.UNKNOWN if media_type == UNKNOWN else Problem.TOO_LARGE)
