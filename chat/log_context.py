"""The request and the generation that a log line belongs to."""

from __future__ import annotations

from contextvars import Context, ContextVar

# Empty ("") outside of requests, such as in the loops of the process.
request_id: ContextVar[str] = ContextVar("request_id", default="")
generation_id: ContextVar[str] = ContextVar("generation_id", default="")


def fresh_context() -> Context:
    """Returns a context for a task that outlives its caller. It has these ids and nothing else, neither the
    executor nor the locals of a request."""
    context = Context()
    for variable in (request_id, generation_id):
        context.run(variable.set, variable.get())
    return context
