"""The log reports events in an appropriate length."""

from __future__ import annotations

import contextvars
import io
import logging
import time
from collections.abc import Iterator

import orjson
import pytest
from django.conf import settings
from django.db import DatabaseError, OperationalError
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.utils.log import log_response
from django.utils.module_loading import import_string

from chat import log_context
from chat.models import User
from chatproject.log import OncePerCause


@pytest.fixture(params=["text"])
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Returns the output to standard error with the project's settings."""
    config = settings.LOGGING
    handler = logging.StreamHandler(written := io.StringIO())
    formatter = {**config["formatters"][request.param]}
    format_ = {"fmt": "{levelname} {message}", "style": "{"} if request.param == "text" else {}
    handler.setFormatter(import_string(formatter["()"])(**format_))
    for name in config["handlers"]["stderr"]["filters"]:
        handler.addFilter(import_string(config["filters"][name]["()"])())
    loggers = [logging.getLogger(name) for name in ("django", "chat")]
    for logger in loggers:
        logger.addHandler(handler)
    yield written
    for logger in loggers:
        logger.removeHandler(handler)


def test_a_refused_administration_request_is_one_line(client: Client, person: User, log: io.StringIO) -> None:
    client.force_login(person)
    log.truncate(log.seek(0))  # the line of the log-in
    assert client.get("/admin/login/").status_code == 403
    assert log.getvalue() == "WARNING Forbidden (Permission denied): /admin/login/\n"


def test_an_error_of_steady_is_logged_in_full(log: io.StringIO) -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logging.getLogger("django.request").exception("Server error", extra={"status_code": 500})
    assert "Traceback" in log.getvalue()
    assert "RuntimeError: broken" in log.getvalue()


@pytest.mark.parametrize("log", ["json"], indirect=True)
def test_as_json_a_line_says_what_it_is_about(log: io.StringIO) -> None:
    def work() -> None:
        log_context.request_id.set("0123ab")
        log_context.generation_id.set("77")
        logging.getLogger("chat.x").warning("Two %s", "words", extra={"outcome": "failed"})

    contextvars.Context().run(work)
    line = orjson.loads(log.getvalue())
    assert line.pop("time")
    assert line == {
        "level": "WARNING",
        "logger": "chat.x",
        "message": "Two words",
        "outcome": "failed",
        "request_id": "0123ab",
        "generation_id": "77",
    }


def test_a_line_of_text_ends_with_its_request_and_generation(log: io.StringIO) -> None:
    def work() -> None:
        log_context.request_id.set("0123ab")
        log_context.generation_id.set("77")
        logging.getLogger("chat.x").warning("Two words")

    contextvars.Context().run(work)
    assert log.getvalue() == "WARNING Two words [request=0123ab generation=77]\n"


@pytest.mark.parametrize("log", ["text", "json"], indirect=True)
def test_what_a_database_quotes_of_a_row_is_left_out(log: io.StringIO) -> None:
    error = DatabaseError(
        "null value violates a constraint\nDETAIL:  Failing row contains (7,\ncanary words)."
    )
    logger = logging.getLogger("chat.x")
    logger.warning("Not written: %s", error)
    try:
        try:
            raise error
        except DatabaseError as cause:
            raise RuntimeError("broken") from cause
    except RuntimeError:
        logger.exception("A request failed.")
    assert "null value violates a constraint" in log.getvalue()
    assert "RuntimeError: broken" in log.getvalue()
    assert "canary" not in log.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize("log", ["text", "json"], indirect=True)
def test_links_that_log_in_are_not_logged(client: Client, log: io.StringIO) -> None:
    for path in (
        "/welcome/canary-1/",
        "/log-in/1/canary-2/",
        "/accounts/password/reset/key/1-canary-3/x",
        "/accounts/confirm-email/MQ:canary-4/x",
        "/shared/canary-5/",
        "/shared/canary-6/files/7/",
        "/api/v1/streams/canary-7",
    ):
        client.get(path)
    assert "/welcome/.../" in log.getvalue()
    assert "canary" not in log.getvalue()


@pytest.mark.django_db
def test_log_ins_and_wrong_passwords_are_logged_without_what_was_typed(
    client: Client, log: io.StringIO
) -> None:
    person = User.objects.create_user("ada@example.org", "correct horse")
    for password in ("canary", *["correct horse"] * 2):
        client.post("/accounts/login/", {"login": person.email, "password": password})
    assert log.getvalue().splitlines() == [
        "WARNING A wrong password or code came from 127.0.0.1.",
        f"INFO User {person.pk} logged in from 127.0.0.1.",
    ]
    client = Client()
    for _ in range(40):  # one more is allowed from time to time
        client.post("/accounts/login/", {"login": "canary@example.org", "password": "canary"})
    assert (
        "WARNING Too many attempts came from 127.0.0.1. This one was refused without a check."
        in log.getvalue()
    )
    assert "canary" not in log.getvalue()


def test_a_probe_of_a_server_that_stops_is_no_error(client: Client, log: io.StringIO) -> None:
    request = RequestFactory().get("/readyz")
    log_response(
        "%s: %s", "Service Unavailable", "/readyz", response=HttpResponse(status=503), request=request
    )
    assert log.getvalue() == ""
    request = RequestFactory().get("/")
    log_response("%s: %s", "Service Unavailable", "/", response=HttpResponse(status=503), request=request)
    assert log.getvalue() == "ERROR Service Unavailable: /\n"


def test_an_outage_is_logged_once_a_minute_by_each_line(log: io.StringIO) -> None:
    def meet() -> None:
        for _ in range(50):
            logging.getLogger("chat.x").warning("Cannot look: %s", OperationalError("it is away\nHINT: ..."))
            try:
                raise OperationalError("it is away")
            except OperationalError:
                logging.getLogger("chat.y").exception("Cannot answer.")

    meet()
    told = ["WARNING Cannot look: it is away", "ERROR Cannot answer. (OperationalError: it is away)"]
    assert log.getvalue().splitlines() == told
    meet_later = OncePerCause.SECONDS + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.monotonic", lambda clock=time.monotonic: clock() + meet_later)
        meet()
    assert log.getvalue().splitlines()[2].startswith(f"{told[0]} (49 more lines")


def test_an_outage_with_ever_new_messages_uses_no_memory() -> None:
    once = OncePerCause()
    for number in range(5_000):
        words = f"Task exception was never retrieved\nfuture: <Task finished name='Task-{number}'>"
        record = logging.LogRecord(
            "asyncio", logging.ERROR, "", 0, words, (), (OSError, OSError("away"), None)
        )
        once.filter(record)
    assert len(once._told) <= 1_000


def test_an_error_of_steady_is_logged_each_time(log: io.StringIO) -> None:
    for _ in range(3):
        logging.getLogger("chat.x").error("Broken: %s", ValueError("this"))
    assert log.getvalue() == "ERROR Broken: this\n" * 3


def test_an_api_token_is_cut_to_its_start(log: io.StringIO) -> None:
    secret = "sty_Ab12Cd34" + "x" * 35
    logger = logging.getLogger("chat.x")
    logger.warning("Given: %s", f"Bearer {secret}")
    logger.warning(f"Given: {secret} at last")
    assert log.getvalue() == "WARNING Given: Bearer sty_Ab12Cd34...\nWARNING Given: sty_Ab12Cd34... at last\n"


@pytest.mark.parametrize("name", ["mcp.client.streamable_http", "client"])
def test_the_client_for_mcp_servers_logs_nothing(name: str) -> None:
    assert not logging.getLogger(name).isEnabledFor(logging.CRITICAL)
