"""Stops an answer that must not go on."""

from __future__ import annotations

from contextlib import aclosing

from chat.pipeline.policy import Events, StreamPolicy
from chat.providers.events import Finished, Notice, Outcome, Reset, TextDelta


async def validate(events: Events, policy: StreamPolicy) -> Events:
    """`events` up to the piece of text that a validator rejects.

    That piece is withheld, what was shown stays. A `rejected` notice says why, and the answer ends as
    refused: an end like any other, not an error, so the text before it is stored and can be built upon.
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
