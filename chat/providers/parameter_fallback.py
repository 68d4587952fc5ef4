"""Removes options that a model or server does not support, one at a time.

Models of one provider differ in what they accept (a temperature, an effort, a reasoning summary), and no
model list says so reliably. A request that is refused *because of such an option* costs
nothing: it is sent again without the option, and later requests to the model leave it out.
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
    """`complaint` is searched for in the provider's message. `reduce` takes a body and returns one without
    the option, or the same body if the option is not in it. `is_asked` marks options of the request, which
    an exact request does not give up."""

    complaint: re.Pattern[str]
    reduce: Callable[[Body], Body]
    is_asked: bool = False


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
    """Asks for the rest of the answer with a prompt, if the provider cannot continue its beginning without
    one."""
    messages = body.get("messages", [])
    if not messages or messages[-1]["role"] != "assistant":
        return body
    body = {key: value for key, value in body.items() if key not in GO_ON}
    return {**body, "messages": [*messages, {"role": "user", "content": CONTINUE_PROMPT}]}


GO_ON = {"continue_final_message": True, "add_generation_prompt": False}  # vLLM's options for it
CANNOT_GO_ON = Fallback(
    re.compile(r"(?i)prefill|continue_final_message|add_generation_prompt|end with a user"), ask_to_continue
)


class ParameterFallback:
    """Remembers which fallbacks the models of one endpoint need."""

    def __init__(self, offered: Sequence[Fallback]) -> None:
        self._offered = offered
        self._made: defaultdict[str, list[Fallback]] = defaultdict(list)

    async def send[T](
        self, model: str, body: Body, post: Callable[[Body], Awaitable[T]], *, exact: bool = False
    ) -> T:
        """Returns `post(body)`, repeated with fewer options while the provider rejects one; with `exact`,
        without those that the request does not ask for."""
        for fallback in self._made[model]:
            if not (exact and fallback.is_asked):
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

    def _reduced(self, model: str, body: Body, complaint: str, exact: bool) -> Body | None:
        for fallback in self._offered:
            if exact and fallback.is_asked:
                continue
            if fallback not in self._made[model] and fallback.complaint.search(complaint):
                smaller = fallback.reduce(body)
                if smaller != body:
                    self._made[model].append(fallback)
                    return smaller
        return None
