"""The file of providers is read again on SIGHUP, and in each process when an administrator asks for it."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import datetime
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from chat.actions.endpoint import read_provider_file, read_requested_at
from chat.database import run_unit
from chat.management import provider_file
from chat.management.provider_file import keep_provider_file
from chatproject.provider_file import ProviderFile

GPU = '[{}]\nkind = "ollama"\naddress = "http://10.0.0.7:11434"\n'


@pytest.mark.django_db(transaction=True)
async def test_the_file_is_read_again_after_a_signal_and_by_every_process(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert provider_file.POLL_SECONDS <= 5  # all processes take a change within that time
    path = tmp_path / "providers.toml"
    path.write_text(GPU.format("first"))
    here = settings.CHAT_PROVIDER_FILE = ProviderFile(str(path), 10)
    monkeypatch.setattr(provider_file, "POLL_SECONDS", 600.0)  # only the signal is in time
    changed, loop = asyncio.Event(), asyncio.get_running_loop()
    keeping = asyncio.create_task(keep_provider_file(changed))
    try:
        while signal.getsignal(signal.SIGHUP) in (signal.SIG_DFL, signal.SIG_IGN):  # under nohup, too
            await asyncio.sleep(0.01)
        path.write_text(GPU.format("second"))
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(60):
            await changed.wait()
        assert list(here.endpoints) == ["second"]
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        loop.remove_signal_handler(signal.SIGHUP)

    looks = 0

    def looked() -> datetime | None:
        nonlocal looks
        looks += 1
        return read_requested_at()

    monkeypatch.setattr(provider_file, "read_requested_at", looked)
    monkeypatch.setattr(provider_file, "POLL_SECONDS", 0.01)
    changed.clear()
    keeping = asyncio.create_task(keep_provider_file(changed))
    try:
        while looks < 3:
            await asyncio.sleep(0.01)
        assert not changed.is_set()  # nobody has asked
        path.write_text(GPU.format("third"))
        settings.CHAT_PROVIDER_FILE = ProviderFile(str(path), 10)  # that of the process with the button
        await run_unit(read_provider_file)
        async with asyncio.timeout(60):
            await changed.wait()
        assert list(here.endpoints) == ["third"]
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        loop.remove_signal_handler(signal.SIGHUP)
