"""The clean-up loop of each server process. One process cleans up once an hour."""

from __future__ import annotations

import asyncio
import logging

from chat.actions import housekeeping
from chat.actions.attachment import clear_files
from chat.database import run_unit, run_write

POLL_SECONDS = 300.0
PAUSE_SECONDS = 0.1  # between two batches: other writes have priority

logger = logging.getLogger(__name__)


async def clean_up() -> None:
    """Runs until it is cancelled. No error ends it."""
    while True:
        try:
            if await run_write(housekeeping.is_due):
                await _clear()
        except Exception as error:  # noqa: BLE001  (a task boundary; it is tried again)
            logger.warning("The clean-up failed: %s", error)
        await asyncio.sleep(POLL_SECONDS)


async def _clear() -> None:
    cleared = 0
    while rows := await run_write(housekeeping.clear_some):
        cleared += rows
        await asyncio.sleep(PAUSE_SECONDS)
    while rows := await run_unit(clear_files):
        cleared += rows
        await asyncio.sleep(PAUSE_SECONDS)
    if cleared:
        logger.info(
            "The clean-up deleted %d rows of expired sessions, files and chats deleted long ago.", cleared
        )
