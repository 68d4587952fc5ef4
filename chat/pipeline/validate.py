"""Stops an answer that a validator rejects."""

from __future__ import annotations

from contextlib import aclosing

from chat.pipeline.policy import Events, StreamPolicy
from chat.providers.events import Finished, Notice, Outcome, Reset, TextDelta


async def validate(events: Events, policy: StreamPolicy) -> Events:
    """Yields `events` up to the piece of text that a validator rejects.

    That piece is withheld; earlier text stays. A `rejected` notice has the reason, and the answer ends as
    refused. This is not an error, so the text is stored and the conversation can continue.
    The provider's connection is closed at once.
    """
    validators = [make() for make in policy.validators]
    async with aclosing(events):
        async for event in events:
            if isinstance(event, TextDelta):
                for validator in validators:
                    if reason := validator(event.text):
                        yield Notice("rejected", reason)
                        yield Finished(Outcome.REFUSED, "validator")
                        return
            elif isinstance(event, Reset):
                validators = [make() for make in policy.validators]
            yield event
