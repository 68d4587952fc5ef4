"""Files that a model makes are kept with its reply, shown to its owner, and sent with the next prompt."""

from __future__ import annotations

import asyncio
import base64
import threading
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.test import Client
from django.utils import timezone

from chat.actions.attachment import clear_files
from chat.actions.send import send_message
from chat.database import run_unit
from chat.files import contents, store
from chat.generation import step_reader
from chat.generation.context import prepare
from chat.generation.earlier_messages import MADE_BY_MODEL
from chat.generation.lease import claim
from chat.generation.orphans import end_from_journal
from chat.generation.runner import Runner
from chat.models import Attachment, ChatModel, Generation, ServerSettings, Status, StoredFile, User
from chat.providers.demo import _picture
from chat.providers.events import GeneratedFile
from chat.providers.gemini_content import ContentDecoder
from chat.providers.openai_chat import ChatDecoder
from chat.providers.registry import close_all
from chat.runtime import Runtime
from tests.files.test_attachments import names

pytestmark = pytest.mark.django_db(transaction=True)

PICTURE = base64.b64encode(b"\x89PNG").decode()


@pytest.fixture
async def runner(runtime: Runtime) -> AsyncIterator[Runner]:
    runtime.journal.start()
    yield runtime.runner
    await runtime.journal.stop()
    await close_all()


def asked(person: User, model: ChatModel, text: str, chat: uuid.UUID | None = None) -> Generation:
    sent = send_message(person, chat or uuid.uuid4(), client_id=uuid.uuid4(), text=text, model_ids=[model.pk])
    return Generation.objects.select_related("message", "conversation").get(message__parent=sent.message)


async def ended(generation: Generation) -> Generation:
    return await Generation.objects.select_related("message").aget(pk=generation.pk)


async def test_a_picture_is_kept_shown_and_sent_again(
    person: User, model: ChatModel, runner: Runner, client: Client, storage: Path
) -> None:
    generation = await run_unit(asked, person, model, "/demo instant /demo image /demo echo Here it is")
    await runner.run_of(generation.pk)()
    reply = (await ended(generation)).message
    [part] = reply.files
    assert (part.media_type, part.name, part.width) == ("image/png", "image.png", 320)

    def look() -> None:
        client.force_login(person)
        html = client.get(f"/conversations/{generation.conversation_id}/").content.decode()
        assert f'src="/files/{part.id}/?thumbnail"' in html
        picture = client.get(f"/files/{part.id}/")
        assert (picture["Content-Type"], picture.content) == ("image/png", _picture())
        follow = asked(person, model, "Make it red", generation.conversation_id)
        made = prepare(follow).request.turns[-1]
        assert (made.role, made.text) == ("user", f"{MADE_BY_MODEL}\n\nMake it red")
        assert [file.media_type for file in made.files] == ["image/png"]

    await run_unit(look)
    assert len(names(storage)) == 3


async def test_a_reply_of_a_picture_alone_is_complete(
    person: User, model: ChatModel, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.providers.demo._tokens", lambda text: [])
    generation = await run_unit(asked, person, model, "/demo instant /demo image")
    await runner.run_of(generation.pk)()
    done = await ended(generation)
    assert (done.status, done.message.text, len(done.message.files)) == (Status.COMPLETE, "", 1)


@pytest.mark.parametrize(
    ("limits", "words"),
    [({"file_mb": 0}, "larger than this server allows"), ({"person_files_mb": 0}, "reached their limit")],
)
async def test_a_picture_that_is_not_kept_is_reported(
    person: User, model: ChatModel, runner: Runner, limits: dict[str, int], words: str, storage: Path
) -> None:
    await run_unit(ServerSettings(**limits).save)
    generation = await run_unit(asked, person, model, "/demo instant /demo image")
    await runner.run_of(generation.pk)()
    done = await ended(generation)
    assert done.status == Status.COMPLETE and done.message.files == []
    assert words in done.message.notices[0][0]
    assert names(storage) == []


async def test_a_storage_that_fails_costs_the_picture_and_not_the_reply(
    person: User, model: ChatModel, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_save", full)
    generation = await run_unit(asked, person, model, "/demo instant /demo image")
    await runner.run_of(generation.pk)()
    done = await ended(generation)
    assert done.status == Status.COMPLETE and "fibonacci" in done.message.text
    assert "could not be stored" in done.message.notices[0][0]
    assert await Attachment.objects.acount() == 0


def test_a_picture_outlives_the_process_that_received_it(
    person: User, model: ChatModel, storage: Path
) -> None:
    generation = asked(person, model, "/demo image")
    assert claim(generation.pk, lambda _: None)
    assert contents.keep_generated_file(person.pk, generation.message_id, _picture()) is None
    assert end_from_journal(Generation.objects.get(pk=generation.pk), lambda _: None)
    reply = Generation.objects.select_related("message").get(pk=generation.pk).message
    assert [part.media_type for part in reply.files] == ["image/png"]
    assert StoredFile.objects.count() == 1


@pytest.mark.parametrize(
    "data", [b"<svg onload='alert(1)'/>", b"\x89PNG\r\n\x1a\n<html><script>", b"\x00\x01"]
)
def test_a_hostile_picture_is_refused(person: User, model: ChatModel, client: Client, data: bytes) -> None:
    generation = asked(person, model, "/demo image")
    contents.keep_generated_file(person.pk, generation.message_id, data)
    [part] = contents.generated_files(generation.message_id)
    assert part.width == 0
    client.force_login(person)
    response = client.get(f"/files/{part.id}/?thumbnail")
    assert (
        "sandbox" in response["Content-Security-Policy"] and response["X-Content-Type-Options"] == "nosniff"
    )


@pytest.mark.parametrize(
    ("url", "data"),
    [
        (f"data:image/png;base64,{PICTURE}", b"\x89PNG"),
        ("https://10.0.0.1/picture.png", b""),
        ("data:text/html,<script>", b""),
        ("data:image/png;base64,?", b""),
    ],
)
def test_pictures_of_compatible_servers_are_read_and_never_loaded(url: str, data: bytes) -> None:
    delta: dict[str, Any] = {"images": [{"type": "image_url", "image_url": {"url": url}}]}
    events = ChatDecoder().decode(orjson.dumps({"choices": [{"index": 0, "delta": delta}]}))
    assert list(events) == [GeneratedFile(data)]


def test_pictures_of_gemini_are_read_without_its_drafts() -> None:
    parts = [
        {"inlineData": {"mimeType": "image/png", "data": PICTURE}, "thought": True},
        {"inlineData": {"mimeType": "image/png", "data": PICTURE}},
    ]
    events = ContentDecoder("gemini").decode(orjson.dumps({"candidates": [{"content": {"parts": parts}}]}))
    assert list(events) == [GeneratedFile(b"\x89PNG")]


async def test_names_of_hosts_are_looked_up_while_files_wait(
    person: User, model: ChatModel, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, end = threading.Event(), threading.Event()

    def waits(*_: object) -> None:
        begun.set()
        end.wait(60)

    monkeypatch.setattr(step_reader, "store_file", waits)
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    generation = await run_unit(asked, person, model, "/demo instant /demo image")
    reply = asyncio.create_task(runner.run_of(generation.pk)())
    async with asyncio.timeout(60):
        while not begun.is_set():
            await asyncio.sleep(0.01)
    try:
        async with asyncio.timeout(20):
            await loop.getaddrinfo("127.0.0.1", 80)
    finally:
        end.set()
        await reply


def test_the_remains_of_a_picture_of_a_killed_process_are_deleted(person: User, model: ChatModel) -> None:
    generation = asked(person, model, "/demo image")
    left = Attachment.objects.create(owner=person, message_id=generation.message_id, name="image.png", size=9)
    clear_files()
    assert contents.used_by(person.pk) == 9  # it may be written now
    Attachment.objects.filter(pk=left.pk).update(created_at=timezone.now() - timedelta(hours=25))
    clear_files()
    assert contents.used_by(person.pk) == 0
