"""Removes options that a model or server does not support, one at a time.

Models of one provider differ in what they accept (a temperature, an effort, a reasoning summary), and no
model list says so reliably. A request that is refused *because of such an option* costs nothing. It is sent
again without the option, and later requests to the model leave the option out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chat.providers.base import CONTINUE_PROMPT
from chat.providers.errors import ContextLengthError, InvalidRequestError

type Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fallback:
    """One option that may be removed. `pattern` is searched for in the provider's message. `reduce` takes a
    body and returns one without the option, or the same body if the option is not in it. `is_requested` marks
    an option of the request, which `ChatRequest.exact` keeps."""

    pattern: re.Pattern[str]
    reduce: Callable[[Body], Body]
    is_requested: bool = False


def without(*path: str) -> Callable[[Body], Body]:
    """Returns a `reduce` that removes the option at `path`, such as `without("reasoning", "summary")`."""

    def drop(body: Body, path: Sequence[str] = path) -> Body:
        name, *rest = path
        if name not in body:
            return body
        if not rest:
            return {key: value for key, value in body.items() if key != name}
        return {**body, name: drop(body[name], rest)}

    return drop


def ask_to_continue(body: Body) -> Body:
    """Adds a prompt that asks for the rest of the answer. It is a `reduce` for providers that cannot continue
    the beginning of an answer without one."""
    messages = body.get("messages", [])
    if not messages or messages[-1]["role"] != "assistant":
        return body
    body = {key: value for key, value in body.items() if key not in CONTINUE_OPTIONS}
    return {**body, "messages": [*messages, {"role": "user", "content": CONTINUE_PROMPT}]}


# With these options, vLLM continues the last message.
CONTINUE_OPTIONS = {"continue_final_message": True, "add_generation_prompt": False}
CANNOT_CONTINUE = Fallback(
    re.compile(r"(?i)prefill|continue_final_message|add_generation_prompt|end with a user"), ask_to_continue
)


class ParameterFallback:
    """Remembers which fallbacks the models of one endpoint need."""

    def __init__(self, fallbacks: Sequence[Fallback]) -> None:
        self._fallbacks = fallbacks
        self._needed: defaultdict[str, list[Fallback]] = defaultdict(list)  # by model

    async def send[T](
        self, model: str, body: Body, post: Callable[[Body], Awaitable[T]], *, exact: bool = False
    ) -> T:
        """Returns the result of `post(body)`. While the provider rejects an option, calls `post` again
        without it. With `exact`, only options are removed that the request does not contain."""
        for fallback in self._needed[model]:
            if not (exact and fallback.is_requested):
                body = fallback.reduce(body)
        while True:
            try:
                return await post(body)
            except ContextLengthError:
                raise
            except InvalidRequestError as error:
                smaller = self._reduced(model, body, error.detail, exact)
                if smaller is None:
                    raise
                body = smaller

    def _reduced(self, model: str, body: Body, message: str, exact: bool) -> Body | None:
        """Returns the body without the option that `message` rejects, None if there is none."""
        for fallback in self._fallbacks:
            if exact and fallback.is_requested:
                continue
            if fallback not in self._needed[model] and fallback.pattern.search(message):
                smaller = fallback.reduce(body)
                if smaller != body:
                    self._needed[model].append(fallback)
                    return smaller
        return None
