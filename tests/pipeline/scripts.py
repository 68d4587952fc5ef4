"""Scripted streams: lists of events, waits and errors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from chat.pipeline.policy import Events
from chat.providers.base import ChatRequest, EndpointConfig, ModelInfo, Turn
from chat.providers.events import Finished, Outcome, ProviderEvent, TextDelta

REQUEST = ChatRequest("scripted", [Turn("user", "Tell me a story.")])
DONE = Finished(Outcome.COMPLETE, "stop")

type Step = ProviderEvent | float | Exception


class ScriptedProvider:
    """Plays one script for each attempt. A number is a wait in seconds; an exception is raised."""

    def __init__(self, *scripts: Iterable[Step]) -> None:
        self.endpoint = EndpointConfig("scripted", "scripted", "Scripted")
        self.scripts = list(scripts)
        self.started: list[float] = []
        self.closed = 0

    async def stream(self, request: ChatRequest) -> Events:
        script = self.scripts[len(self.started)]
        self.started.append(asyncio.get_running_loop().time())
        try:
            for step in script:
                if isinstance(step, int | float):
                    await asyncio.sleep(step)
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield step
        finally:
            self.closed += 1

    async def list_models(self) -> list[ModelInfo]:
        return []

    async def aclose(self) -> None:
        """Nothing is held open."""


async def play(*steps: Step) -> Events:
    async for event in ScriptedProvider(steps).stream(REQUEST):
        yield event


def words(*texts: str) -> list[ProviderEvent]:
    return [TextDelta(text) for text in texts]


def text_of(events: Iterable[ProviderEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))
