"""How the log is written."""

from __future__ import annotations

from logging import Filter, LogRecord


class NoTraceOfRefusals(Filter):
    """A request that was refused (4xx) is one line: nothing went wrong in Steady, and anyone can cause it."""

    def filter(self, record: LogRecord) -> bool:
        if 400 <= getattr(record, "status_code", 0) < 500:
            record.exc_info = record.exc_text = None
        return True
