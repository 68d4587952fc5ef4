"""Which request, and which generation, a line of the log belongs to."""

from __future__ import annotations

from contextvars import Context, ContextVar

# Unset ("") where nobody asked, such as in the loops of the process.
request_id: ContextVar[str] = ContextVar("request_id", default="")
generation_id: ContextVar[str] = ContextVar("generation_id", default="")


def fresh_context() -> Context:
    """For a task that outlives what started it: it inherits these ids and nothing else, neither the executor
    nor the locals of a request."""
    context = Context()
    for variable in (request_id, generation_id):
        context.run(variable.set, variable.get())
    return context
