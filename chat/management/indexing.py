"""The loop of each server process that indexes what the search does not find yet, reads the files of folders
and presets that another process left unread, and deletes the removed ones."""

from __future__ import annotations

import asyncio
import logging
from uuid import UUID

from chat.actions.attachment import clear_unused
from chat.actions.knowledge import clear_removed, read_next
from chat.database import run_unit, run_write
from chat.search.catch_up import catch_up

POLL_SECONDS = 30.0
PAUSE_SECONDS = 0.05  # between two batches: other writes have priority

logger = logging.getLogger(__name__)


async def keep_index() -> None:
    """Runs until it is cancelled. No error ends it. It continues where an ended process stopped."""
    while True:
        try:
            indexed = 0
            while rows := await run_write(catch_up):
                indexed += rows
                await asyncio.sleep(PAUSE_SECONDS)
            if indexed:
                logger.info("The search index has %d more messages and titles.", indexed)
        except Exception as error:  # noqa: BLE001  (a task boundary; it is tried again)
            logger.warning("The search index could not be completed: %s", error)
        try:
            passed: set[UUID] = set()
            while await run_unit(read_next, passed):
                await asyncio.sleep(PAUSE_SECONDS)
        except Exception as error:  # noqa: BLE001  (as above)
            logger.warning("The files of folders and presets could not be read: %s", error)
        try:
            removed = 0
            while rows := await run_write(clear_removed):
                removed += rows
                await asyncio.sleep(PAUSE_SECONDS)
            if removed:
                await run_unit(clear_unused)
        except Exception as error:  # noqa: BLE001  (as above)
            logger.warning("The removed files of folders and presets could not be deleted: %s", error)
        await asyncio.sleep(POLL_SECONDS)
