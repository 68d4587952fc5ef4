"""A provider inside the test's process whose answers the test controls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from chat.providers.base import ChatRequest, EndpointConfig, ModelInfo
from chat.providers.errors import ConnectionFailedError, ProviderError
from chat.providers.events import Finished, Notice, Outcome, ProviderEvent, ReasoningDelta, TextDelta

ACCOUNT = EndpointConfig("scripted", "scripted", "Scripted")


class ScriptedProvider:
    open: list[Answer] = []

    def __init__(self, endpoint: EndpointConfig) -> None:
        self.endpoint = endpoint

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ProviderEvent]:
        answer = Answer()
        self.open.append(answer)
        try:
            yield Notice("waiting")
            while True:
                event = await answer.events.get()
                if isinstance(event, ProviderError):
                    raise event
                yield event
                if isinstance(event, Finished):
                    return
        finally:
            self.open.remove(answer)

    async def list_models(self) -> list[ModelInfo]:
        return []

    async def aclose(self) -> None:
        pass


class Answer:
    """One running answer."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[ProviderEvent | ProviderError] = asyncio.Queue()

    def says(self, text: str) -> None:
        self.events.put_nowait(TextDelta(text))

    def thinks(self, text: str) -> None:
        self.events.put_nowait(ReasoningDelta(text))

    def ends(self, outcome: Outcome) -> None:
        self.events.put_nowait(Finished(outcome))

    def breaks(self, error: ProviderError | None = None) -> None:
        self.events.put_nowait(error or ConnectionFailedError())
