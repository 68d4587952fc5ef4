"""Servers with their own variants of Chat Completions: Ollama, vLLM, llama.cpp, LM Studio, OpenRouter ...

The supported differences are: no key; `max_tokens`; reasoning in `reasoning_content` or `reasoning`, or
between `<think>` tags in the text; content in typed parts; no usage (the pipeline estimates it); other finish
reasons; no `[DONE]`; a whole message instead of the requested stream; model lists with the context window
under various names, and with prices of one token.
"""

from __future__ import annotations

from typing import Any

from chat.providers.attachments import require_data
from chat.providers.base import ChatRequest, EndpointConfig, ModelInfo
from chat.providers.events import ProviderEvent, ReasoningDelta, TextDelta
from chat.providers.model_list import Entry
from chat.providers.openai import OpenAIProvider
from chat.providers.openai_chat import ChatDecoder, chat_body
from chat.providers.parameter_fallback import CONTINUE_OPTIONS, Body
from chat.providers.sse import Decoder, string


class OpenAICompatibleProvider(OpenAIProvider):
    """The adapter for any address that offers `/chat/completions` and `/models`."""

    needs_key = False

    def __init__(self, endpoint: EndpointConfig) -> None:
        super().__init__(endpoint)
        self._servers: dict[str, str] = {}  # the server software by model, from `owned_by` in the model list

    def model_info(self, entry: Entry) -> ModelInfo | None:
        self._servers[entry.name("id")] = entry.text("owned_by")
        return super().model_info(entry)

    def wire(self, request: ChatRequest) -> tuple[str, Body, Decoder]:
        # A server in the local network must not load addresses that a user chooses.
        for turn in request.turns:
            for file in turn.files:
                require_data(file)
        body = chat_body(request, limit_name="max_tokens")
        options = _OPTIONS_TO_CONTINUE.get(self._servers.get(request.model, ""))
        if request.continues and options is not None:
            body = {**body, "messages": body["messages"][:-1], **options}
        return "/chat/completions", body, CompatibleDecoder(self.endpoint.secrets)


# The options with which these servers continue the beginning of an answer. Other servers may start a new one.
_OPTIONS_TO_CONTINUE: dict[str, dict[str, bool]] = {"vllm": CONTINUE_OPTIONS, "llamacpp": {}}


class CompatibleDecoder(ChatDecoder):
    """Reads Chat Completions with the differences in the docstring of the module."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        super().__init__(secrets)
        self._think = ThinkSplitter()

    def read_text(self, content: Any, events: list[ProviderEvent]) -> None:
        if isinstance(content, list):
            for part in content:
                if part.get("type") == "thinking":
                    texts = (string(piece.get("text") or "") for piece in part["thinking"])
                    events.append(ReasoningDelta("".join(texts)))
                elif text := part.get("text"):
                    events.append(TextDelta(string(text)))
        elif content:
            events.extend(self._think.feed(string(content)))

    def rest(self) -> list[ProviderEvent]:
        return self._think.flush()


class ThinkSplitter:
    """Separates the reasoning from a text that begins with `<think> ... </think>`.

    Later tags are text, because a model may write about them. A possible start of a tag, at most eight
    characters, is held back until more text arrives. White space around the tags is dropped, and so is
    reasoning that is only white space.
    """

    def __init__(self) -> None:
        self._state = "start"  # then "thinking", "gap" and "text", or only "text"
        self._held = ""
        self._has_reasoning = False

    def feed(self, text: str) -> list[ProviderEvent]:
        if self._state == "text":
            return [TextDelta(text)]
        self._held += text
        events: list[ProviderEvent] = []
        if self._state == "start":
            opened = self._held.lstrip()
            if _OPEN.startswith(opened):
                return []
            self._state = "thinking" if opened.startswith(_OPEN) else "text"
            self._held = opened.removeprefix(_OPEN) if self._state == "thinking" else self._held
        if self._state == "thinking":
            events.extend(self._think())
        if self._state == "gap":
            self._held = self._held.lstrip()
            self._state = "text" if self._held else "gap"
        return events if self._state != "text" else [*events, *self._release()]

    def flush(self) -> list[ProviderEvent]:
        """Returns the text held back until the end of the stream."""
        held = self._release()
        return [ReasoningDelta(delta.text) for delta in held] if self._state == "thinking" else [*held]

    def _think(self) -> list[ProviderEvent]:
        reasoning, tag, rest = self._held.partition(_CLOSE)
        if tag:
            self._state = "gap"
        else:
            keep = next((n for n in range(len(_CLOSE) - 1, 0, -1) if reasoning.endswith(_CLOSE[:n])), 0)
            reasoning, rest = reasoning[: len(reasoning) - keep], reasoning[len(reasoning) - keep :]
        self._held = rest
        if not self._has_reasoning:
            reasoning = reasoning.lstrip()
        self._has_reasoning = self._has_reasoning or bool(reasoning)
        return [ReasoningDelta(reasoning)] if reasoning else []

    def _release(self) -> list[TextDelta]:
        held, self._held = self._held, ""
        return [TextDelta(held)] if held else []


_OPEN, _CLOSE = "<think>", "</think>"
