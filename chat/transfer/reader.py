"""The program that reads a file to be imported: `python -m chat.transfer.reader PATH [--summary]`.

The file may be hostile: a zip bomb, a million nested lists, a gigabyte of one chat. So the kernel limits this
process's memory and CPU time, it reads one chat at a time, and it opens a zip file's entries as streams: no
name in it ever becomes a path. It imports no Django and reads no environment.

Output: one line of JSON for each chat, in the order of the file, `{"chat": <steady.dump>, "left_out": {...}}`
or `{"problem": {"title", "reason"}}`, `{"extra": <extras.load>}` for what else a file of Steady has, and a
last line `{"end": {"format"}}` or `{"error": <sentence>}`. A project of Claude is an extra, too. With
`--summary` a chat is `{"id", "title", "at", "messages", "replies"}` and perhaps the name of its `preset`, an
extra its `type`, `name` and number of `documents`. The same file always gives the same lines, so an
interrupted import goes on at a line.
"""

from __future__ import annotations

import lzma
import re
import resource
import signal
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

import ijson  # type: ignore[import-untyped]  # the package has no types
import orjson

from chat.transfer import chatgpt, claude, extras, librechat, open_webui, steady
from chat.transfer.chats import (
    EXTRAS,
    FILES,
    IMAGES,
    UNLINKED,
    UNNAMED_FOLDERS,
    Chat,
    UnreadableError,
    dict_of,
    is_image,
    text_of,
)
from chat.translatable import translatable as _

MEMORY_BYTES = 1024 * 1024 * 1024
CPU_SECONDS = 300
MOST_JSON_BYTES = 1024 * 1024 * 1024  # of the JSON in a file, unpacked
MOST_LINE_BYTES = 24 * 1024 * 1024  # is read at once by the server, in 50 ms
MOST_FILE_BYTES = 64 * 1024 * 1024  # of a file with one chat, which is read at once
MOST_ENTRIES = 50_000  # of a zip file
MOST_CHATS = 50_000
MOST_PROJECT_BYTES = 256 * 1024 * 1024  # of the JSON of all projects, unpacked
MOST_PROJECT_FILE_BYTES = 32 * 1024 * 1024  # of a file with one project, which is read at once
_CHATS = re.compile(r"(?:^|/)(?:chats|conversations(?:[-_]\d{1,6})?)\.json\Z")  # ours, ChatGPT's, Claude's
_PROJECTS = re.compile(r"(?:^|/)projects(?:\.json|/[^/]+\.json)\Z")  # Claude's
_FILE = re.compile(r"files/[0-9a-f]{64}")
_FILE_OF_CHATGPT = re.compile(r"file[-_][A-Za-z0-9]{1,64}(?=[-._]|\Z)")
_TOO_LARGE = _("The file is too large when it is unpacked.")
# What reading a damaged project raises, or one that is nested too deep or too large. Without memory, orjson
# raises SystemError.
_NO_PROJECT = (
    UnreadableError,
    ijson.JSONError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,  # also NotImplementedError and RecursionError
    SystemError,
    TypeError,
    ValueError,
)
_DAMAGED = _("The file is damaged: it ends too early or is not valid JSON.")
_UNKNOWN = _(
    "The file is not a known export. Choose the zip or JSON file that Steady, ChatGPT, Claude, Open WebUI or "
    "LibreChat made."
)


class Format(NamedTuple):
    name: str
    is_chat: Callable[[dict[str, Any]], bool]
    load: Callable[[dict[str, Any]], Chat]


CLAUDE = Format("claude", claude.is_chat, claude.load)
FORMATS = (
    Format("chatgpt", chatgpt.is_chat, chatgpt.load),
    CLAUDE,
    Format("open_webui", open_webui.is_chat, open_webui.load),
    Format("librechat", librechat.is_chat, librechat.load),
)
STEADY = Format("steady", lambda item: True, steady.load)


class _Extra(NamedTuple):
    """An entry of `extras` of Steady's own format."""

    item: Any


class _Project(NamedTuple):
    """An entry of a file of Claude's projects. None if it cannot be read."""

    item: Any


class _Limited:
    """A binary file that raises after so many bytes, whatever its header says."""

    def __init__(self, file: IO[bytes], left: int) -> None:
        self._file, self._left = file, left

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size if 0 <= size <= 65_536 else 65_536)
        self._left -= len(data)
        if self._left < 0:
            raise UnreadableError(_TOO_LARGE)
        return data


def lines(path: Path, *, summary: bool = False) -> Iterator[dict[str, Any]]:
    """Yields the objects of the output, without the end; before the first chat `{"format"}`."""
    found: Format | None = None
    number, packed, projects = 0, packed_files(path), Projects()
    for form, item in _items(path):
        number += 1
        if number > MOST_CHATS:
            raise UnreadableError(_("The file has more chats than one import can have."))
        if isinstance(item, _Extra):
            if found is None:
                found = STEADY
                yield {"format": found.name}
            yield _extra(item.item, summary=summary)
            continue
        if isinstance(item, _Project) or claude.is_project(dict_of(item)):
            item = dict_of(item.item if isinstance(item, _Project) else item)
            if not claude.is_project(item):
                yield {"left_out": {EXTRAS: 1}}
                continue
            if found is None:
                found = CLAUDE
                yield {"format": found.name}
            try:
                line = projects.line(item, summary=summary)
            except _NO_PROJECT:
                line = {"left_out": {EXTRAS: 1}}
            yield line
            continue
        form = form or next((one for one in FORMATS if one.is_chat(dict_of(item))), None)
        if form is None:
            if found is None:
                raise UnreadableError(_UNKNOWN)
            yield _problem(item, _("It is not a chat of this format."))
            continue
        if found is None:
            found = form
            yield {"format": form.name}
        try:
            chat = form.load(dict_of(item))
        except UnreadableError as error:
            yield _problem(item, str(error))
        except (AttributeError, KeyError, LookupError, RecursionError, TypeError, ValueError):
            yield _problem(item, _("It is damaged."))
        else:
            if form is CLAUDE:
                projects.put(chat, dict_of(item))
            missing = [file for file in chat.files() if file.sha256 not in packed]
            if form is STEADY:
                chat.left_out[FILES] = len(missing)
            else:
                chat.left_out.update(IMAGES if is_image(file) else FILES for file in missing)
            chat.left_out += Counter()  # drops what is zero
            shown = _summary(chat) if summary else steady.dump(chat)
            yield {"chat": shown, "left_out": dict(chat.left_out)}
    if found is None:
        raise UnreadableError(_("The file contains no chats."))
    if projects.names and not projects.has_chats:
        yield {"left_out": {UNLINKED: len(projects.names)}}


class Projects:
    """The projects of a file of Claude, which are before its chats. `names` has their names by their ids;
    `has_chats` says whether a chat named its project."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.has_chats = False

    def line(self, item: dict[str, Any], *, summary: bool) -> dict[str, Any]:
        """Returns the line of this project."""
        extra, left_out = claude.load_project(item)
        self.names[claude.project_id(item) or f"{len(self.names)}"] = extra["name"]
        if summary:
            extra = {"type": extra["type"], "name": extra["name"], "documents": len(extra["documents"])}
        return {"extra": extra, "left_out": dict(left_out)}

    def put(self, chat: Chat, item: dict[str, Any]) -> None:
        """Puts the chat into the folder of its project, if it names one."""
        project, name = claude.project_of(item)
        chat.folder = name or self.names.get(project, "")
        self.has_chats |= bool(chat.folder)
        chat.left_out[UNNAMED_FOLDERS] += bool(project and not chat.folder)


def _extra(item: Any, *, summary: bool) -> dict[str, Any]:
    try:
        extra = extras.load(item)
    except UnreadableError:
        return {"left_out": {EXTRAS: 1}}
    shown = {"type": extra["type"], "name": extras.name_of(extra)[:200]}
    return {"extra": shown if summary else extra}


class ZipEntry(NamedTuple):
    """The name of an entry of the zip file, and its size in bytes as the zip file says it."""

    name: str
    size: int


def packed_files(path: Path) -> dict[str, ZipEntry]:
    """Returns the files in a zip file: of Steady by their SHA-256, of ChatGPT by their ids."""
    with closing(PackedFiles(path)) as files:
        return files.entries


class PackedFiles:
    """The files in a zip file. It is opened, and its directory read, when the first one is asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _archive(self) -> zipfile.ZipFile | None:
        return zipfile.ZipFile(self._path) if zipfile.is_zipfile(self._path) else None

    @cached_property
    def entries(self) -> dict[str, ZipEntry]:
        """As `packed_files`."""
        return _entries(self._archive) if self._archive else {}

    def open(self, entry: ZipEntry) -> IO[bytes]:
        assert self._archive
        return self._archive.open(entry.name)

    def close(self) -> None:
        if archive := self.__dict__.get("_archive"):
            archive.close()


def _entries(archive: zipfile.ZipFile) -> dict[str, ZipEntry]:
    entries = [ZipEntry(it.filename, it.file_size) for it in archive.infolist() if not it.flag_bits & 1]
    found: dict[str, ZipEntry] = {}
    for entry in sorted(entries, key=lambda it: (len(it.name), it.name)):
        if _FILE.fullmatch(entry.name):
            found[entry.name.removeprefix("files/")] = entry
        elif of_chatgpt := _FILE_OF_CHATGPT.match(entry.name.rpartition("/")[2]):
            found.setdefault(of_chatgpt[0], entry)
    return found


def _summary(chat: Chat) -> dict[str, Any]:
    at = chat.updated_at or chat.created_at
    preset = {"preset": chat.preset.name[:200]} if chat.preset else {}
    return {
        "id": chat.id,
        "title": chat.title[:200],
        "at": at and at.isoformat(),
        "messages": len(chat.nodes),
        "replies": sum(node.reply is not None for node in chat.nodes),
        **preset,
    }


def _problem(item: Any, reason: str) -> dict[str, Any]:
    item = dict_of(item)
    title = text_of(item.get("title")) or text_of(item.get("name"))
    return {"problem": {"title": title[:200], "reason": reason}}


def _items(path: Path) -> Iterator[tuple[Format | None, Any]]:
    """Yields the chats of the file as they are, with their format if the file says it."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            yield from _of_json(file, path.stat().st_size, MOST_JSON_BYTES)
        return
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MOST_ENTRIES:
            raise UnreadableError(_("The zip file has too many files."))
        entries = [it for it in entries if it.filename.endswith(".json") and "__MACOSX" not in it.filename]
        chosen = sorted((it for it in entries if _CHATS.search(it.filename)), key=lambda it: it.filename)
        if chosen:
            yield from _projects(archive, [it for it in entries if _PROJECTS.search(it.filename)])
        else:  # LibreChat and Open WebUI: files that a person packed
            chosen = entries
        if not chosen:
            raise UnreadableError(_UNKNOWN)
        if any(entry.flag_bits & 1 for entry in chosen):
            raise UnreadableError(_("The zip file is encrypted. Unpack it and choose the JSON file in it."))
        left = MOST_JSON_BYTES
        for entry in chosen:
            left -= entry.file_size
            if left < 0:
                raise UnreadableError(_TOO_LARGE)
            with archive.open(entry) as file:
                yield from _of_json(file, entry.file_size, entry.file_size)


def _projects(
    archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]
) -> Iterator[tuple[Format | None, Any]]:
    """Yields the projects of Claude. One that cannot be read does not stop the import of the chats."""
    left = MOST_PROJECT_BYTES
    for entry in sorted(entries, key=lambda it: it.filename):
        left -= entry.file_size
        if left < 0 or entry.flag_bits & 1:
            yield None, _Project(None)
            continue
        try:
            with archive.open(entry) as file:
                size = entry.file_size
                for _form, item in _of_json(file, size, size, most_at_once=MOST_PROJECT_FILE_BYTES):
                    yield None, _Project(item)
        except _NO_PROJECT:
            yield None, _Project(None)


def _of_json(
    file: IO[bytes], size: int, limit: int, *, most_at_once: int = MOST_FILE_BYTES
) -> Iterator[tuple[Format | None, Any]]:
    if size > MOST_JSON_BYTES:
        raise UnreadableError(_TOO_LARGE)
    limited = _Limited(file, limit)
    head = limited.read(65_536).removeprefix(b"\xef\xbb\xbf")
    start = head.lstrip()[:1]
    rest = _Rejoined(head, limited)
    if start == b"[":
        for item in ijson.items(rest, "item", use_float=True):
            yield None, item
    elif start == b"{" and (version := _steady_version(head)) is not None:
        if version != str(steady.VERSION):
            raise UnreadableError(_("A newer version of Steady made this file. Upgrade this one first."))
        yield from ((STEADY, item) for item in _steady_items(rest))
    elif start == b"{":
        if size > most_at_once:
            raise UnreadableError(_TOO_LARGE)
        whole = b"".join(iter(lambda: rest.read(65_536), b""))
        yield None, orjson.loads(whole)
    else:
        raise UnreadableError(_UNKNOWN)


def _steady_items(file: _Rejoined) -> Iterator[Any]:
    """Yields the extras and the chats of Steady's own format. Extras after the first chat are not read: then
    the file is parsed once, not twice."""
    found, beside = ijson.sendable_list(), ijson.sendable_list()
    chats = ijson.items_coro(found, "chats.item", use_float=True)
    others = ijson.items_coro(beside, "extras.item", use_float=True)
    at_start = True
    while data := file.read(65_536):
        if at_start:
            others.send(data)
            yield from map(_Extra, beside)
            del beside[:]
        chats.send(data)
        at_start = at_start and not found
        yield from found
        del found[:]
    chats.close()


def _steady_version(head: bytes) -> str | None:
    """Returns the version if these are the first bytes of Steady's own format: it begins with its name."""
    match = re.match(rb'\s*\{\s*"format"\s*:\s*"steady-chats"\s*,\s*"version"\s*:\s*(\d{1,9})', head)
    return match[1].decode() if match else None


class _Rejoined:
    """The file from its start: `head` was read already."""

    def __init__(self, head: bytes, file: _Limited) -> None:
        self._head, self._file = head, file

    def read(self, size: int = -1) -> bytes:
        if self._head:
            size = size if size >= 0 else len(self._head)
            data, self._head = self._head[:size], self._head[size:]
            return data
        return self._file.read(size)


def write(path: Path, out: IO[bytes], *, summary: bool = False) -> None:
    """Writes all lines. A file that cannot be read ends with a sentence that says why."""
    form = ""
    try:
        for line in lines(path, summary=summary):
            form = line.get("format") or form
            data = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
            if len(data) > MOST_LINE_BYTES:
                short = {"left_out": {EXTRAS: 1}}
                if "chat" in line:
                    short = _problem(line["chat"], _("The chat is too long."))
                data = orjson.dumps(short, option=orjson.OPT_APPEND_NEWLINE)
            out.write(data)
        last: dict[str, Any] = {"end": {"format": form}}
    except UnreadableError as error:
        last = {"error": str(error)}
    except (MemoryError, RecursionError):
        last = {"error": _TOO_LARGE}
    except (zipfile.BadZipFile, lzma.LZMAError, NotImplementedError, EOFError, OSError):
        last = {"error": _("The zip file is damaged.")}
    except (ValueError, ijson.JSONError):
        last = {"error": _DAMAGED}
    out.write(orjson.dumps(last, option=orjson.OPT_APPEND_NEWLINE))
    out.flush()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when this process ends
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(BrokenPipeError):
        write(Path(sys.argv[1]), sys.stdout.buffer, summary="--summary" in sys.argv[2:])


if __name__ == "__main__":
    main()
