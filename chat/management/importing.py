"""The loop of each server process that imports chats from files.

A file is read by a process of its own (`chat.transfer.reader`), so that a hostile one cannot stop this one.
The chats come one by one; a long chat is stored in several transactions.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, closing, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.core.files.storage import default_storage

from chat.actions import import_attachments, import_chat, import_summary, import_task
from chat.actions.import_summary import MOST_TITLES, FileSummary
from chat.actions.import_task import ClaimLostError
from chat.database import run_unit, run_write
from chat.models import ChatImport
from chat.models.chat_import import MOST_PROBLEMS
from chat.transfer import steady
from chat.transfer.chats import PRESETS
from chat.transfer.extras import DOCUMENT, PRESET
from chat.transfer.reader import MOST_LINE_BYTES, PackedFiles
from chat.translatable import translatable as _

POLL_SECONDS = 2.0
CLAIM_SECONDS = 5.0  # between two heartbeats while the file is read
PAUSE_SECONDS = 0.02  # between two transactions: other writes have priority

logger = logging.getLogger(__name__)


class FileError(Exception):
    """The file cannot be read. The message is a sentence for people."""


async def import_files() -> None:
    """Runs until it is cancelled. No error ends it."""
    while True:
        try:
            if job := await run_write(import_task.claim_import):
                await _work(job)
                continue
        except ClaimLostError:
            continue
        except Exception as error:  # noqa: BLE001  (a task boundary; it is tried again)
            logger.warning("An import failed, and is tried again: %s", error)
        await asyncio.sleep(POLL_SECONDS)


async def _work(job: ChatImport) -> None:
    try:
        with tempfile.TemporaryDirectory(prefix="steady-import-") as folder:
            path = await _claimed(job, run_unit(_local, job.file, Path(folder) / "file"))
            if job.state == ChatImport.State.READING:
                found = await _summary(job, path)
                found.known = await run_unit(import_summary.count_known, job, found)
                found.left_out[PRESETS] += await run_unit(import_summary.count_presets, job, found)
                await run_write(import_task.store_summary, job, found)
                return
            await _take_all(job, path)
        await run_write(import_task.end_import, job.pk)
        logger.info("An import ended.")
    except FileError as error:
        await run_write(import_task.end_import, job.pk, error=str(error))
    except FileNotFoundError:
        await run_write(import_task.end_import, job.pk, error=_("The file is gone. Choose it again."))
    except asyncio.CancelledError:
        await run_write(import_task.release_import, job.pk)
        raise


def _local(name: str, copy: Path) -> Path:
    """Returns the path of the stored file, after copying it from a storage that has no paths."""
    try:
        return Path(default_storage.path(name))
    except NotImplementedError:
        with default_storage.open(name) as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target)
        return copy


async def _summary(job: ChatImport, path: Path) -> FileSummary:
    found = FileSummary()
    async with aclosing(_lines(job, path, "--summary")) as lines:
        async for line in lines:
            item = orjson.loads(line)
            if "format" in item:
                found.format = item["format"]
            elif problem := item.get("problem"):
                found.unreadable += 1
                if len(found.problems) < MOST_PROBLEMS:
                    found.problems.append(problem)
            elif chat := item.get("chat"):
                found.chats += 1
                found.messages += chat["messages"]
                found.ids.append(chat["id"])
                found.replies[chat["id"]] = chat["replies"]
                if len(found.titles) < MOST_TITLES:
                    found.titles.append(chat["title"])
                if at := chat["at"]:
                    found.oldest_at = min(found.oldest_at or at, at)
                    found.newest_at = max(found.newest_at or at, at)
                if preset := chat.get("preset"):
                    found.presets[preset] += 1
            elif extra := item.get("extra"):
                found.extras[extra["type"]] += 1
                found.extras[DOCUMENT] += extra.get("documents", 0)
                if extra["type"] == PRESET:
                    found.own_presets.add(extra["name"])
            found.left_out.update(item.get("left_out", {}))
    found.extras += Counter()  # drops what is zero
    return found


async def _take_all(job: ChatImport, path: Path) -> None:
    number = -1
    with closing(PackedFiles(path)) as packed:
        async with aclosing(_lines(job, path)) as lines:
            async for line in lines:
                number += 1
                if number >= job.next_line:
                    await _take(job, packed, number, await run_unit(orjson.loads, line))


async def _take(job: ChatImport, packed: PackedFiles, number: int, item: dict[str, Any]) -> None:
    if problem := item.get("problem"):
        await run_write(import_task.skip_line, job, number, problem)
    elif "chat" in item:
        chat = await run_unit(steady.load, item["chat"])
        if chat.files() and not await run_unit(import_chat.is_known, job, chat):
            refused = await _claimed(job, run_unit(import_attachments.receive_files, job, packed, chat))
            item["left_out"] = Counter(item["left_out"]) + refused
        imported = await run_write(import_chat.begin_chat, job, number, chat, item["left_out"])
        if imported is None:
            return
        head = import_chat.head_of(chat, imported)
        while await run_write(import_chat.add_messages, job, imported):
            await asyncio.sleep(PAUSE_SECONDS)
        await run_write(import_chat.show_chat, job, number, imported, head)
    elif extra := item.get("extra"):
        files: list[UUID] = []
        counts = Counter(item.get("left_out", {}))
        if extra.get("documents"):
            files, refused = await _claimed(job, run_unit(import_attachments.receive_documents, job, extra))
            counts += refused
        await run_write(import_task.add_extra, job, number, extra, counts, files)
        await run_unit(import_attachments.remove_unused, job, files)
    elif left_out := item.get("left_out"):
        await run_write(import_task.leave_out, job, number, left_out)
    await asyncio.sleep(PAUSE_SECONDS)


async def _claimed[R](job: ChatImport, work: Coroutine[Any, Any, R]) -> R:
    """Keeps the claim while the work lasts. Raises `ClaimLostError`."""
    task = asyncio.ensure_future(work)
    while not (await asyncio.wait([task], timeout=CLAIM_SECONDS))[0]:
        await run_write(import_task.keep_claim, job.pk)
    return task.result()


async def _lines(job: ChatImport, path: Path, *options: str) -> AsyncGenerator[bytes]:
    """Yields the lines of the reader, without its last one. Raises `FileError` for a file that it cannot
    read, also if the kernel has ended it, and `ClaimLostError`."""
    command = (sys.executable, "-m", "chat.transfer.reader", str(path), *options)
    reader = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=2 * MOST_LINE_BYTES,
        cwd=settings.BASE_DIR,  # for `-m`
        env={},  # no secret
        start_new_session=True,
    )
    assert reader.stdout is not None
    with suppress(OSError):  # it competes with replies for the processor
        os.setpriority(os.PRIO_PROCESS, reader.pid, 10)
    try:
        while True:
            coming = asyncio.ensure_future(reader.stdout.readline())
            while not (await asyncio.wait([coming], timeout=CLAIM_SECONDS))[0]:
                await run_write(import_task.keep_claim, job.pk)
            line = coming.result()
            if not line.endswith(b"\n"):
                raise FileError(
                    _("The file could not be read: it is damaged, or needs too much memory or time.")
                )
            if line.startswith(b'{"end":'):
                return
            if line.startswith(b'{"error":'):
                raise FileError(orjson.loads(line)["error"])
            yield line
    finally:
        with suppress(ProcessLookupError):
            reader.kill()
        await reader.wait()
