"""Estimates tokens cheaply: for context windows, live counts and providers that report no usage.

Each character has a weight in thousandths of a token, by its script, so counting in pieces gives the same
result as counting at once. The weights are fitted to the geometric mean of three tokenizers (cl100k, o200k
and Llama 3) on a page of each script: `tests/pipeline/data/token_counts.json`. For a single tokenizer the
estimate is wrong by a tenth for English and code, by a third for Chinese, and by a factor of two for Hindi
and Thai, because the tokenizers differ that much. Where it matters, the caller corrects the estimate by
earlier counts of the provider (`generation.window`).
"""

from __future__ import annotations

import json
from bisect import bisect

from chat.providers.base import ChatRequest, Tool, Turn

FILE_TOKENS = 1_000  # an image of medium size
TURN_TOKENS = 4  # the overhead of each message
_MOST_ESTIMATES = 20_000  # about 2 MB
_estimates: dict[int, int] = {}  # by the hash of the text; a cache of the process


def estimate_tokens(text: str) -> int:
    """Returns the estimated tokens of `text`; at least one if it is not empty."""
    if len(text) < _SHORT:
        return -(-_thousandths(text) // 1000)
    # Each request of a chat contains the earlier texts again.
    key = hash(text)
    tokens = _estimates.get(key)
    if tokens is None:
        tokens = -(-_thousandths(text) // 1000)
        if len(_estimates) >= _MOST_ESTIMATES:
            _estimates.clear()
        _estimates[key] = tokens
    return tokens


def turn_tokens(turn: Turn) -> int:
    """Returns the estimated tokens of a turn, with its overhead."""
    if not (turn.files or turn.tool_calls or turn.tool_results):
        return estimate_tokens(turn.text) + TURN_TOKENS
    texts = [turn.text, *(result.text for result in turn.tool_results)]
    texts += [call.arguments for call in turn.tool_calls]
    files = sum(file.tokens or FILE_TOKENS for file in turn.files)
    return sum(map(estimate_tokens, texts)) + files + TURN_TOKENS


def tool_tokens(tool: Tool) -> int:
    """Returns the estimated tokens of a tool's definition."""
    schema = json.dumps(dict(tool.parameters), ensure_ascii=False, separators=(",", ":"))
    return sum(map(estimate_tokens, (tool.name, tool.description, schema))) + TURN_TOKENS


def request_tokens(request: ChatRequest) -> int:
    """Returns the estimated input tokens of a request."""
    texts = estimate_tokens(request.system) + sum(map(turn_tokens, request.turns))
    return texts + sum(map(tool_tokens, request.tools))


class TokenCounter:
    """Estimates the tokens of a growing text."""

    def __init__(self) -> None:
        self._total = 0

    def feed(self, text: str) -> None:
        self._total += _thousandths(text)

    @property
    def tokens(self) -> int:
        return -(-self._total // 1000)


# Thousandths of a token for a character, from this code point on.
_SCRIPTS = (
    (0x0080, 1_100),  # Latin with accents, which also break up the words around them
    (0x0250, 800),
    (0x0370, 550),  # Greek
    (0x0400, 360),  # Cyrillic
    (0x0530, 900),  # Armenian, Hebrew
    (0x0600, 500),  # Arabic
    (0x0700, 1_000),
    (0x0900, 700),  # Devanagari
    (0x0980, 950),  # the other scripts of India
    (0x0E00, 570),  # Thai
    (0x0E80, 1_100),
    (0x10A0, 900),
    (0x1100, 1_000),
    (0x1E00, 700),  # Latin with two accents, as in Vietnamese
    (0x2000, 800),  # punctuation and signs
    (0x2E80, 1_000),
    (0x3040, 750),  # kana
    (0x3100, 1_000),  # Chinese characters
    (0xAC00, 850),  # Hangul
    (0xD7B0, 1_000),
    (0x10000, 2_000),  # emoji, rare characters
)
_STARTS = [start for start, _ in _SCRIPTS]


def _ascii_weight(character: str) -> int:
    if character.islower():
        return 240
    if character.isupper():
        return 550
    if character.isdigit():
        return 550
    if character == "\n":
        return 250
    return 40 if character.isspace() else 620


class _Weights(dict[str, int]):
    """The weight of each character, computed at its first use."""

    def __missing__(self, character: str) -> int:
        weight = self[character] = (
            _ascii_weight(character)
            if character.isascii()
            else _SCRIPTS[bisect(_STARTS, ord(character)) - 1][1]
        )
        return weight


_WEIGHTS = _Weights()
_ASCII = bytes(range(128)).decode()
# The ASCII characters of each weight, the most frequent ones first.
_ASCII_BY_WEIGHT = {
    weight: "".join(it for it in _ASCII if _ascii_weight(it) == weight).encode()
    for weight in dict.fromkeys(map(_ascii_weight, "a A\n" + _ASCII))
}


_SHORT = 64  # characters; below it, the lookup is three times as fast


def _thousandths(text: str) -> int:
    if len(text) < _SHORT or not text.isascii():
        return sum(map(_WEIGHTS.__getitem__, text))
    # Several times as fast, and most long text is ASCII.
    total, left = 0, text.encode()
    for weight, characters in _ASCII_BY_WEIGHT.items():
        rest = left.translate(None, characters)
        total += weight * (len(left) - len(rest))
        left = rest
    return total
