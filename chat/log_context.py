"""Which request, and which generation, a line of the log belongs to."""

from __future__ import annotations

from contextvars import ContextVar

# Unset ("") where nobody asked, such as in the loops of the process.
request_id: ContextVar[str] = ContextVar("request_id", default="")
generation_id: ContextVar[str] = ContextVar("generation_id", default="")
