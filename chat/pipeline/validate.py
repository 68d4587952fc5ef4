r"""Stops an answer that a validator rejects.

`CHAT_VALIDATORS` names factories of validators by dotted paths. A module such as `checks.py` in the Python
path can define one:

    import re

    def no_card_numbers():
        tail = ""

        def check(text: str) -> str | None:
            nonlocal tail
            tail = (tail + text)[-100:]
            return "The answer contains a card number." if re.search(r"\d{16}", tail) else None

        return check

The setting is then `CHAT_VALIDATORS=checks.no_card_numbers`.
"""

from __future__ import annotations

from contextlib import aclosing

from chat.pipeline.policy import Events, StreamPolicy
from chat.providers.events import Finished, Notice, Outcome, Reset, TextDelta


async def validate(events: Events, policy: StreamPolicy) -> Events:
    """Yields `events` up to the piece of text that a validator rejects.

    That piece is not yielded; earlier text stays. A `rejected` notice has the reason, and the answer ends as
    refused. This is not an error: the text is stored, and the conversation can continue. The connection to
    the provider is closed at once.
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
