"""The files of a backup are restored, also to another storage, and missing ones are reported."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.storage import InMemoryStorage, default_storage
from django.core.management import CommandError, call_command
from django.test import Client

from chat.files import store
from chat.models import Attachment, StoredFile, User
from tests.files.test_attachments import picture

pytestmark = pytest.mark.django_db(transaction=True)

type Upload = Callable[..., Attachment]


class Bucket(InMemoryStorage):
    """A storage with errors of its own, which are no OSError."""

    is_away = False

    def _open(self, name: str, mode: str = "rb") -> Any:
        if Bucket.is_away:
            raise RuntimeError("The bucket does not answer.")
        return super()._open(name, mode)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    def run(command: str, *options: str, stdin: bytes = b"") -> bytes:
        output = io.TextIOWrapper(io.BytesIO())
        monkeypatch.setattr(sys, "stdout", output)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        call_command(command, *options)
        output.flush()
        return output.buffer.getvalue()  # type: ignore[attr-defined]

    return run


def with_bucket(settings: Any) -> None:
    Bucket.is_away = False
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": f"{__name__}.Bucket"}}


def with_a_stranger(archive: bytes) -> bytes:
    """Returns the archive with two files that no row names."""
    data = io.BytesIO(archive)
    with tarfile.open(fileobj=data, mode="a") as files:
        for name in ("../../escaped", "files/of-nobody"):
            entry = tarfile.TarInfo(name)
            entry.size = 3
            files.addfile(entry, io.BytesIO(b"bad"))
    return data.getvalue()


def test_files_are_copied_from_a_folder_to_a_bucket_and_back(
    person: User, upload: Upload, run: Callable[..., bytes], settings: Any, client: Client
) -> None:
    photo, notes = upload(person, picture(), "photo.png"), upload(person, b"Notes")
    names = {name for file in StoredFile.objects.all() for name in file.paths}
    archive = run("backup", "--files")
    with_bucket(settings)
    assert run("restore_files", stdin=with_a_stranger(archive)) == b"5 stored. 0 are missing.\n"
    assert not default_storage.exists("of-nobody") and len(names) == 5
    client.force_login(person)
    assert client.get(f"/files/{notes.pk}/").content == b"Notes"
    assert client.get(f"/files/{photo.pk}/?thumbnail")["Content-Type"] == "image/jpeg"
    with tarfile.open(fileobj=io.BytesIO(run("backup", "--files"))) as files:
        assert set(files.getnames()) == names


def test_missing_files_are_reported(
    person: User, upload: Upload, run: Callable[..., bytes], settings: Any
) -> None:
    file = upload(person, b"Notes")
    archive = run("backup", "--files")
    assert file.stored
    store.delete([file.stored.path])
    with pytest.raises(CommandError, match="1 files could not be read"):
        run("backup", "--files")
    with pytest.raises(CommandError, match=f"Neither .*\n{file.stored.path}"):
        run("restore_files", stdin=tarfile.TarInfo("other").tobuf() + bytes(1024))
    assert run("restore_files", stdin=archive) == b"2 stored. 0 are missing.\n"
    with pytest.raises(CommandError, match="archive cannot be read"):
        run("restore_files", stdin=b"no archive")
    with_bucket(settings)
    run("restore_files", stdin=archive)
    Bucket.is_away = True
    with pytest.raises(CommandError, match="2 files could not be read"):
        run("backup", "--files")
    with pytest.raises(OSError, match="bucket does not answer"):
        store.read(file.stored.path)


def test_a_damaged_or_unwritable_archive_is_reported(
    person: User, upload: Upload, run: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = upload(person, b"The original notes")
    assert file.stored
    archive = run("backup", "--files")
    with pytest.raises(CommandError, match=f"Damaged .*\n{file.stored.path}"):
        run("restore_files", stdin=archive.replace(b"The original", b"Some foreign"))
    assert store.read(file.stored.path) == b"The original notes"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(OSError, match="No space left"):
        run("backup", "--files")
