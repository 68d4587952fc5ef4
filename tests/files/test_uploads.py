"""Requests that write and read an upload at the same time, and what processes that ended left of one."""

from __future__ import annotations

import os
import threading
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection, connections

from chat.access import NotFoundError
from chat.actions import attachment as actions
from chat.actions.attachment import (
    StorageError,
    clear_files,
    receive_file,
    receive_piece,
    remove_attachment,
)
from chat.actions.errors import ConflictError
from chat.files import contents, store
from chat.files.prepare import PreparedFile
from chat.files.worker_slots import TooManyError, WorkerSlots
from chat.models import Attachment, StoredFile, User
from tests.files.test_attachments import names

pytestmark = pytest.mark.django_db(transaction=True)

SOON = 60  # seconds; no test waits so long unless it fails

type Upload = Callable[..., Attachment]


class Reading:
    """The worker of a test: it waits until the test lets it go on."""

    def __init__(self) -> None:
        self.begun, self.goes_on = threading.Event(), threading.Event()
        self.has_connection: bool | None = None

    def prepare_file(self, path: Path, name: str) -> PreparedFile:
        self.has_connection = connection.connection is not None
        self.begun.set()
        assert self.goes_on.wait(SOON)
        path.with_suffix(".read").write_bytes(path.read_bytes())
        return PreparedFile("text/plain", readable_type="text/plain")


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    reading = Reading()
    monkeypatch.setattr(contents, "prepare_file", reading.prepare_file)
    return reading


@contextmanager
def beside(work: Callable[[], object]) -> Iterator[Future[object]]:
    """Runs `work` on a thread with a connection of its own."""

    def run() -> object:
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as threads:
        yield threads.submit(run)


def piece(user: User, at: uuid.UUID, data: bytes = b"Notes", offset: int = 0, size: int = 5) -> Attachment:
    return receive_piece(user, at, name="a.txt", size=size, offset=offset, data=data)[0]


def test_the_last_piece_arrives_again_while_the_file_is_read(person: User, reading: Reading) -> None:
    at = uuid.uuid4()
    piece(person, at, b"No")
    with beside(lambda: piece(person, at, b"tes", 2)) as first:
        assert reading.begun.wait(SOON)
        for data, offset in ((b"tes", 2), (b"No", 0)):
            with pytest.raises(ConflictError, match="still being read"):
                piece(person, at, data, offset)
        reading.goes_on.set()
        assert first.result(SOON)
    found = piece(person, at, b"tes", 2)
    assert found.stored and store.read(found.stored.path) == b"Notes"
    assert StoredFile.objects.count() == 1 and names(settings.CHAT_UPLOADS_DIR) == []


def test_a_file_is_removed_while_it_is_read(person: User, reading: Reading, storage: Path) -> None:
    at = uuid.uuid4()
    with beside(lambda: piece(person, at)) as first:
        assert reading.begun.wait(SOON)
        remove_attachment(person, at)
        reading.goes_on.set()
        assert isinstance(first.exception(SOON), NotFoundError)
    assert (StoredFile.objects.count(), names(storage)) == (0, [])
    assert names(settings.CHAT_UPLOADS_DIR) == []


def test_the_remains_of_an_ended_process_are_deleted_and_block_nothing(person: User, storage: Path) -> None:
    at, file_id = uuid.uuid4(), uuid.uuid4()
    piece(person, at, b"No")
    with store.locked(at) as upload:  # its last piece is here, and its file is in the storage already
        upload.append(2, b"tes")
    left = settings.CHAT_UPLOADS_DIR / f"{at.hex}.{file_id.hex}"
    left.mkdir()
    default_storage.save(f"{file_id.hex[:2]}/{file_id.hex}", ContentFile(b"Not"))
    found = piece(person, at, b"tes", 2)
    assert found.stored and store.read(found.stored.path) == b"Notes"
    os.utime(left, (0, 0))
    clear_files()
    assert len(names(storage)) == 2, "the file and its text"
    assert not left.exists()


def test_an_id_that_is_used_again_changes_no_file_of_others(
    person: User, make_user: Callable[..., User], upload: Upload, storage: Path
) -> None:
    at = uuid.uuid4()
    piece(person, at)
    theirs = upload(make_user("other@example.org"), b"Notes")
    assert theirs.stored
    remove_attachment(person, at)
    piece(person, at, b"An", 0, 99)
    remove_attachment(person, at)
    assert piece(person, at, b"Other").stored
    assert store.read(theirs.stored.path) == b"Notes"


@pytest.mark.skipif(settings.SQLITE, reason="SQLite has no pool.")
def test_a_file_that_is_read_holds_no_connection(person: User, reading: Reading) -> None:
    with beside(lambda: piece(person, uuid.uuid4())) as first:
        assert reading.begun.wait(SOON)
        reading.goes_on.set()
        assert first.result(SOON)
    assert reading.has_connection is False


def test_a_piece_that_cannot_be_read_soon_is_kept_and_sent_again(
    person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, slots = uuid.uuid4(), WorkerSlots(at_once=1)
    monkeypatch.setattr(contents, "_slots", slots)
    monkeypatch.setattr(actions, "PIECE_SECONDS", 0.0)
    with slots.slot("another", seconds=0), pytest.raises(ConflictError):
        piece(person, at)
    assert piece(person, at).stored


def test_a_user_has_one_reader_and_few_waiting_requests() -> None:
    slots = WorkerSlots(at_once=2)
    with slots.slot(1, seconds=0):
        with pytest.raises(TooManyError), slots.slot(1, seconds=0):
            pass
        with slots.slot(2, seconds=0), pytest.raises(TooManyError), slots.slot(3, seconds=0):
            pass
    with slots.slot(1, seconds=0):
        pass
    with pytest.raises(TooManyError), WorkerSlots(most_waiting=0).slot(1, seconds=SOON):
        pass


def test_a_large_file_is_received_and_sent_with_little_memory(person: User) -> None:
    at, part, number = uuid.uuid4(), bytes(store.PIECE_BYTES), 24
    size = number * len(part)
    piece(person, at, part, 0, size)
    tracemalloc.start()
    try:
        for offset in range(len(part), size, len(part)):
            found = piece(person, at, part, offset, size)
        assert found.stored
        assert sum(map(len, store.chunks(found.stored.path))) == size
        _now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < size / 4


def test_nothing_is_left_of_a_whole_file_that_cannot_be_stored(
    person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_options: object) -> None:
        raise OSError("No space")

    monkeypatch.setattr(actions, "store_upload", full)
    for _ in range(2):
        with pytest.raises(StorageError):
            receive_file(person, [b"Notes"], name="notes.txt", size=5)
    assert not Attachment.objects.exists()
    assert names(settings.CHAT_UPLOADS_DIR) == []
