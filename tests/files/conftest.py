"""Each test has a storage of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chat.models import Attachment, ChatModel, Endpoint, User


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, settings: Any) -> Path:
    """Returns the folder of the storage; uploads grow in another one."""
    folder = tmp_path / "files"
    default = {**settings.STORAGES["default"]}
    default["OPTIONS"] = {**default["OPTIONS"], "location": str(folder)}
    settings.STORAGES = {**settings.STORAGES, "default": default}
    settings.CHAT_UPLOADS_DIR = tmp_path / "uploads"
    return folder


@pytest.fixture
def model(db: None) -> ChatModel:
    provider = Endpoint.objects.create(slug="demo", name="Demo")
    return ChatModel.objects.create(endpoint=provider, name="demo")


@pytest.fixture
def upload() -> Callable[..., Attachment]:
    from chat.actions.attachment import receive_file

    def upload(user: User, data: bytes, name: str = "notes.txt") -> Attachment:
        return receive_file(user, [data], name=name, size=len(data))

    return upload
