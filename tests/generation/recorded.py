"""A provider that records its requests."""

from __future__ import annotations

from collections.abc import AsyncIterator

from chat.providers.base import ChatRequest, EndpointConfig, ModelInfo
from chat.providers.events import Finished, Outcome, ProviderEvent, TextDelta, Usage

ACCOUNT = EndpointConfig("recorded", "demo", "Recorded")  # a kind that is imported fast


class RecordedProvider:
    """Each answer is a text, or an error to raise before any; the last one is repeated. Counts `rate` tokens
    for each character of a request."""

    def __init__(self, *answers: str | Exception, rate: float = 0.25) -> None:
        self.endpoint = ACCOUNT
        self.requests: list[ChatRequest] = []
        self._answers, self._rate = answers, rate

    async def stream(self, request: ChatRequest) -> AsyncIterator[ProviderEvent]:
        self.requests.append(request)
        answer = self._answers[min(len(self.requests), len(self._answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        yield TextDelta(answer)
        characters = sum(len(turn.text) for turn in request.turns)
        yield Usage(round(characters * self._rate), round(len(answer) * self._rate))
        yield Finished(Outcome.COMPLETE, "stop")

    async def list_models(self) -> list[ModelInfo]:
        return []

    async def aclose(self) -> None:
        """Nothing is held open."""
