"""The output of one running reply: its log, and the messages with it to other processes."""

from __future__ import annotations

import asyncio
from uuid import UUID

from chat.live.hub import Hub
from chat.live.pubsub import PubSub
from chat.live.reply_log import ReplyLog, RetryWait
from chat.parts import storable

MAX_REPLY_CHARS = 2_000_000  # four times the longest output of a model; a longer reply ends with `length`
SHARE_SECONDS = 0.05  # between two messages with output to other processes


class Output:
    def __init__(self, generation_id: UUID, hub: Hub, pubsub: PubSub) -> None:
        self.log = ReplyLog()
        self._generation_id, self._hub, self._pubsub = generation_id, hub, pubsub
        self._shared = 0  # characters that were sent to other processes
        self._share_is_due = False

    @property
    def is_full(self) -> bool:
        return self.log.length >= MAX_REPLY_CHARS

    def append(self, kind: str, text: str) -> None:
        """Appends the text up to the limit of a reply, wakes the viewers here, and shares it soon."""
        self.log.append(kind, storable(text[: MAX_REPLY_CHARS - self.log.length]))
        self.wake()
        if not self._pubsub.is_shared(self._generation_id):
            self._shared = self.log.length
        elif not self._share_is_due:
            self._share_is_due = True
            asyncio.get_running_loop().call_later(SHARE_SECONDS, self._share)

    def show_wait(self, attempt: int, seconds: float) -> None:
        """Shows the viewers here that the provider is asked again in some seconds."""
        self.log.waiting = RetryWait(attempt, seconds)
        self.wake()

    def wake(self) -> None:
        self._hub.wake(self._generation_id)

    def _share(self) -> None:
        """Sends new output to the processes with viewers."""
        self._share_is_due = False
        self._pubsub.share_output(self._generation_id, self._shared, self.log.since(self._shared))
        self._shared = self.log.length
