"""The log says what happened, at the length it deserves."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import Client
from django.utils.module_loading import import_string

from chat.models import User


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What goes to standard error with our settings."""
    handler = logging.StreamHandler(written := io.StringIO())
    handler.setFormatter(logging.Formatter("{levelname} {message}", style="{"))
    (filters,) = (each["filters"] for each in settings.LOGGING["handlers"].values())
    for name in filters:
        handler.addFilter(import_string(settings.LOGGING["filters"][name]["()"])())
    logging.getLogger("django.request").addHandler(handler)
    yield written
    logging.getLogger("django.request").removeHandler(handler)


def test_somebody_who_may_not_administer_is_one_line(client: Client, person: User, log: io.StringIO) -> None:
    client.force_login(person)
    assert client.get("/admin/login/").status_code == 403
    assert log.getvalue() == "WARNING Forbidden (Permission denied): /admin/login/\n"


def test_what_went_wrong_in_steady_is_told_in_full(log: io.StringIO) -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logging.getLogger("django.request").exception("Server error", extra={"status_code": 500})
    assert "Traceback" in log.getvalue()
    assert "RuntimeError: broken" in log.getvalue()
