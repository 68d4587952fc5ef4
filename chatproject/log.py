"""The format of the log: lines for people or JSON for programs, with the ids of the request and the
generation, and without user content, keys and tokens."""

from __future__ import annotations

import logging
import re
import sys
import time
from types import TracebackType
from typing import Any

from django.db import InterfaceError, OperationalError
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from chat.log_context import generation_id, request_id

# A link that logs a user in, or sets a password, is as good as the password. A share link shows a chat;
# the log-in page has it as `next`.
_TOKEN_IN_PATH = re.compile(
    r"(/welcome/|(?:/|%2F)shared(?:/|%2F)|/log-in/\d+/|/password/reset/key/|/confirm-email/|/api/v1/streams/)"
    r"[^/\s]+"
)

# An API token, in a message or an argument. Its start names it and opens nothing.
_API_TOKEN = re.compile(r"\b(sty_\w{8})\w+")

# Raised by a driver that is loaded where it is used: an import here would take 0.2 s of every command.
_DRIVERS = (("psycopg", "OperationalError"), ("redis.exceptions", "RedisError"))

type ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class NoTraceOfRefusals(logging.Filter):
    """Logs a refused request (4xx) as one line. It is not an error of Steady, and anyone can cause it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if 400 <= getattr(record, "status_code", 0) < 500:
            record.exc_info = record.exc_text = None
        return True


class NoRefusalsOfProbes(logging.Filter):
    """Drops the error lines of `/readyz`, which returns 503 every few seconds while the server starts or
    stops."""

    def filter(self, record: logging.LogRecord) -> bool:
        path = getattr(getattr(record, "request", None), "path", "")
        return not (path == "/readyz" and getattr(record, "status_code", 0) == 503)


class OncePerCause(logging.Filter):
    """Logs an unreachable service (database, Redis, a full disk) once a minute for each logger and without a
    traceback, which does not help. Otherwise an outage writes megabytes."""

    SECONDS = 60.0
    MOST = 1_000  # limit of remembered causes: some loggers write unique messages

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[
            tuple[str, str, type], tuple[float, int]
        ] = {}  # since when, and the number of dropped lines

    def filter(self, record: logging.LogRecord) -> bool:
        error = _cause(record)
        if error is None or record.levelno < logging.WARNING:
            return True
        key, now = (record.name, str(record.msg), type(error)), time.monotonic()
        since, left_out = self._told.get(key, (-self.SECONDS, 0))
        if now - since < self.SECONDS:
            self._told[key] = since, left_out + 1
            return False
        if len(self._told) >= self.MOST:
            self._told.clear()
        self._told[key] = now, 0
        words = record.getMessage()
        if record.exc_info:
            words = f"{words} ({type(error).__name__}: {error})"
            record.exc_info = record.exc_text = None
        more = f" ({left_out} more lines like this were left out.)" if left_out else ""
        record.msg, record.args = "%s%s", (_first_line(words), more)
        return True


class NoContent(logging.Filter):
    """Removes the text after the first line of an error, where PostgreSQL adds whole rows, the tokens in the
    paths of links, and API tokens."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = _without_content(record.msg) if isinstance(record.msg, str) else record.msg
        if isinstance(record.args, tuple):
            record.args = tuple(map(_without_content, record.args))
        return True


class Context(logging.Filter):
    """Adds the ids of the request and of the generation, if there are any."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name, variable in (("request_id", request_id), ("generation_id", generation_id)):
            if (value := variable.get()) and not hasattr(record, name):
                setattr(record, name, value)
        return True


class Line(logging.Formatter):
    """`time level logger: message [request=... generation=...]`"""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        ids = [
            f"{name}={value}"
            for name in ("request", "generation")
            if (value := getattr(record, f"{name}_id", ""))
        ]
        return super().formatMessage(record) + (f" [{' '.join(ids)}]" if ids else "")

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        return _first_lines(super().formatException(ei), ei)


class Json(JsonFormatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, the ids, and what the line is about."""

    def __init__(self) -> None:
        super().__init__(
            "{asctime}{levelname}{name}{message}",
            style="{",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            reserved_attrs=[*RESERVED_ATTRS, "request"],  # Django's own: the whole object
        )

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        return _first_lines(str(super().formatException(ei)), ei)


def _without_content(value: object) -> object:
    if isinstance(value, BaseException):
        value = _first_line(str(value)) or type(value).__name__
    if not isinstance(value, str):
        return value
    return _API_TOKEN.sub(r"\1...", _TOKEN_IN_PATH.sub(r"\1...", value))


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _cause(record: logging.LogRecord) -> BaseException | None:
    """Returns the exception of an unreachable service, if the record has one."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    told = [record.exc_info[1] if record.exc_info else None, *arguments]
    drivers = (getattr(sys.modules.get(module), name, None) for module, name in _DRIVERS)
    kinds = (OperationalError, InterfaceError, OSError, *(kind for kind in drivers if kind))
    return next((error for error in told if isinstance(error, kinds)), None)


def _first_lines(text: str, exc_info: ExcInfo) -> str:
    """Returns the traceback with each exception's message cut to its first line."""
    error, seen = exc_info[1], 0
    while error is not None and seen < 10:
        whole = str(error)
        if "\n" in whole:
            text = text.replace(whole, whole.partition("\n")[0])
        error, seen = error.__cause__ or error.__context__, seen + 1
    return text
