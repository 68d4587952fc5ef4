"""Reads the file of providers again: on SIGHUP in this process, and in all processes when an administrator
asks for it."""

from __future__ import annotations

import asyncio
import logging
import signal
from datetime import datetime

from django.conf import settings
from django.db import DatabaseError

from chat.actions.endpoint import read_requested_at
from chat.database import run_unit

POLL_SECONDS = 3.0

logger = logging.getLogger(__name__)


async def keep_provider_file(changed: asyncio.Event) -> None:
    """Runs until it is cancelled. Sets `changed` after each reading."""
    file = settings.CHAT_PROVIDER_FILE
    if not file.path:
        return
    hangup = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangup.set)
    asked_at = await _asked_at(None)
    while True:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await hangup.wait()
        except TimeoutError:
            pass
        before, asked_at = asked_at, await _asked_at(asked_at)
        if not hangup.is_set() and before == asked_at:
            continue
        hangup.clear()
        await asyncio.to_thread(file.read)
        logger.info("The file of providers was read again: %d endpoints.", len(file.endpoints))
        changed.set()


async def _asked_at(before: datetime | None) -> datetime | None:
    try:
        return await run_unit(read_requested_at)
    except DatabaseError:
        return before
