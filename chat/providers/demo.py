"""A model without a key and without network, for a first try, for tests and for simulated failures.

Models: `demo` answers at a readable pace, `demo-fast` answers ten times as long and seven times as fast.
A prompt can contain commands:

    /demo echo TEXT    answers with TEXT and nothing else (the rest of the prompt, verbatim)
    /demo long         about 1,500 words
    /demo think        thinks longer before it answers
    /demo slow         two tokens a second
    /demo instant      no pauses at all
    /demo tool [NAME] [TEXT]   calls the tool of that name, else the first one, with TEXT as its first
                       argument, and answers with the result. A tool must be on.
    /demo search [TEXT]   pretends to search the web for TEXT, and cites two pages. The web search must be on.
    /demo image        makes a picture after its text
    /demo length       ends at its output limit
    /demo refuse       declines to answer
    /demo cut          the stream ends in the middle without an end marker
    /demo break        the connection fails in the middle
    /demo flaky        every other attempt fails before the first token
    /demo hang         never sends anything
    /demo stall        stops sending in the middle
    /demo fail [CODE]  fails before the first token; CODE is a code of `errors`, else `unavailable`

A prompt can contain several commands, such as `/demo instant /demo cut`.
"""

from __future__ import annotations

import asyncio
import random
import re
import struct
import zlib
from collections.abc import AsyncGenerator, Iterator, Sequence

import orjson

from chat.parts import Citation, ToolResult, WebSearch
from chat.providers import errors
from chat.providers.base import ChatRequest, EndpointConfig, ModelInfo, Tool
from chat.providers.events import (
    Finished,
    GeneratedFile,
    Notice,
    Outcome,
    ProviderEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from chat.providers.options import refuse

MODELS = [
    ModelInfo(
        "demo", "Demo", context_window=32_000, max_output_tokens=8_000, takes_images=True, reasons=True
    ),
    ModelInfo(
        "demo-fast",
        "Demo, fast and long",
        context_window=32_000,
        max_output_tokens=8_000,
        takes_images=True,
        reasons=True,
    ),
]


class DemoProvider:
    """The demo adapter. The module's docstring lists the commands."""

    def __init__(self, endpoint: EndpointConfig) -> None:
        self.endpoint = endpoint
        self._fails_next = True  # `/demo flaky`

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ProviderEvent]:
        if request.model not in {model.name for model in MODELS}:
            raise errors.ModelNotFoundError(detail=f"The demo has no model {request.model!r}.")
        refuse(request, "stop", "output_format", "forced_tool")
        prompt = next((turn.text for turn in reversed(request.turns) if turn.text.strip()), "")
        results = request.turns[-1].tool_results if request.turns else ()
        if _TITLE.search(request.system) or _SUMMARY.search(request.system):
            yield TextDelta(_title(prompt) if _TITLE.search(request.system) else _summary(prompt))
            yield Usage(_count(request), 5)
            yield Finished(Outcome.COMPLETE, "stop")
            return
        commands = _commands(prompt)
        rest = _rest(request)
        await self._fail_early(commands, prompt)
        yield Notice("waiting")
        pace = _Pace(_tokens_per_second(request.model, commands))

        if "tool" in commands and request.tools and not results:
            for piece in _tool_call(request, prompt):
                yield piece
                await pace.wait()
            yield Usage(_count(request), 2)
            yield Finished(Outcome.TOOL_CALLS, "tool_calls")
            return

        searches = "search" in commands and request.web_searches > 0 and not rest
        for search in _searches(prompt) if searches else ():
            yield search
            await pace.wait()

        reasoning = [] if rest or results else _tokens(_REASONING * (8 if "think" in commands else 1))
        for token in reasoning:
            await pace.wait()
            yield ReasoningDelta(token)
        tokens = _tokens(_answer_to_results(results) or rest or _answer(request.model, commands, prompt))
        limit = min(len(tokens), request.max_output_tokens or len(tokens))
        if "length" in commands:
            limit = min(limit, len(tokens) // 2)
        for number, token in enumerate(tokens[:limit]):
            if number == len(tokens) // 2:
                if "cut" in commands:
                    return
                await _fail_midway(commands)
            await pace.wait()
            yield TextDelta(token)
        if searches:
            answer = "".join(tokens[:limit])
            yield Citation("https://example.org/first?page=1", "The first page", answer.find("\n"))
            yield Citation("https://example.com/second", "The second page", len(answer))
        if "image" in commands:
            yield GeneratedFile(_picture())
        yield Usage(_count(request), len(reasoning) + limit, reasoning_tokens=len(reasoning))
        if "refuse" in commands:
            yield Finished(Outcome.REFUSED, "refusal")
        elif limit < len(tokens):
            yield Finished(Outcome.LENGTH, "length")
        else:
            yield Finished(Outcome.COMPLETE, "stop")

    async def list_models(self) -> list[ModelInfo]:
        return list(MODELS)

    async def aclose(self) -> None:
        """Does nothing: there is no connection."""

    async def _fail_early(self, commands: set[str], prompt: str) -> None:
        if "hang" in commands:
            await asyncio.Event().wait()
        if "flaky" in commands:
            fails, self._fails_next = self._fails_next, not self._fails_next
            if fails:
                raise errors.OverloadedError(detail="/demo flaky")
        if asked := re.search(r"/demo fail\b ?(\w*)", prompt):
            raise _ERRORS.get(asked[1], errors.UnavailableError)(detail=asked[0])


def _picture() -> bytes:
    """Returns a PNG of 320 by 200 pixels, of one colour."""
    rows = b"".join(b"\0" + b"\x1f\x7a\x8c" * 320 for _row in range(200))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 320, 200, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _tool_call(request: ChatRequest, prompt: str) -> Iterator[ToolCallDelta]:
    """Yields the call of the tool that the prompt names."""
    tool, arguments = _tool_and_arguments(request, prompt)
    yield ToolCallDelta(0, id="call_demo", name=tool.name)
    for piece in re.findall(r"(?s).{1,8}", arguments):
        yield ToolCallDelta(0, arguments=piece)


def _searches(prompt: str) -> Iterator[WebSearch]:
    """Yields the states of the search that the prompt asks for."""
    query = re.split(r"/demo search\b", prompt, maxsplit=1)[1].partition("/demo")[0].strip()
    yield WebSearch("demo")
    yield WebSearch("demo", query)
    yield WebSearch("demo", query, "done")


def _tool_and_arguments(request: ChatRequest, prompt: str) -> tuple[Tool, str]:
    """Returns the tool that the prompt names, and its arguments as JSON."""
    words = re.split(r"/demo tool\b", prompt, maxsplit=1)[1].strip()
    name, _space, text = words.partition(" ")
    tool = next((tool for tool in request.tools if tool.name == name), None)
    if tool is None:
        tool, text = request.tools[0], words
    parameters = tool.parameters.get("required") or list(tool.parameters.get("properties", {}))
    return tool, orjson.dumps({parameters[0]: text} if parameters and text else {}).decode()


def _answer_to_results(results: Sequence[ToolResult]) -> str:
    """Returns the answer to the results of tools, "" if there are none."""
    # Without the line that marks a result as data.
    texts = [re.sub(r"\A\[[^\n]*\]\n", "", result.text) for result in results]
    return "\n\n".join(f"The tool says:\n\n{text}" for text in texts)


def _commands(prompt: str) -> set[str]:
    return set(_COMMAND.findall(prompt))


def _rest(request: ChatRequest) -> str:
    """Returns the rest of the previous answer if the last turn asks to continue it, "" otherwise."""
    if len(request.turns) < 3 or not _CONTINUE.search(request.turns[-1].text):
        return ""
    prompt, beginning = request.turns[-3].text, request.turns[-2].text
    whole = _answer(request.model, _commands(prompt), prompt)
    return whole.removeprefix(beginning) if whole.startswith(beginning) else ""


def _title(prompt: str) -> str:
    """Returns the first words of the first text, without commands."""
    text = _COMMAND.sub("", re.sub(r"</?\w+>", "", prompt.partition("</user>")[0]))
    words = re.findall(r"[^\s.,;:!?]+", text)[:5]
    return " ".join(words).capitalize() or "Demonstration"


def _summary(prompt: str) -> str:
    """Returns the beginning of each text, in the order of the conversation."""
    texts = re.findall(r"<(?:user|summary)>\n(.*?)\n</", prompt, re.DOTALL)
    return "\n".join(f"- {' '.join(text.split())[:100]}" for text in texts)[-2_000:] or "Nothing was said."


class _Pace:
    """Spreads tokens over time by a schedule, which includes the time that the consumer takes."""

    def __init__(self, tokens_per_second: float | None) -> None:
        self._interval = 1 / tokens_per_second if tokens_per_second else 0.0
        self._next = 0.0

    async def wait(self) -> None:
        now = asyncio.get_running_loop().time()
        jitter = random.uniform(0.5, 1.5)  # noqa: S311 - a pace, not a secret
        self._next = max(self._next, now - self._interval) + self._interval * jitter
        await asyncio.sleep(max(0.0, self._next - now) if self._interval else 0)


async def _fail_midway(commands: set[str]) -> None:
    if "break" in commands:
        raise errors.ConnectionFailedError(detail="/demo break")
    if "stall" in commands:
        await asyncio.Event().wait()


def _tokens_per_second(model: str, commands: set[str]) -> float | None:
    if "instant" in commands:
        return None
    if "slow" in commands:
        return 2.0
    return 200.0 if model == "demo-fast" else 30.0


def _answer(model: str, commands: set[str], prompt: str) -> str:
    if echoed := re.search(r"/demo echo ?(.*)", prompt, re.DOTALL):
        return echoed[1]
    if "refuse" in commands:
        return "I cannot help with that."
    quoted = " ".join(_COMMAND.sub("", prompt).split())[:200] or "nothing at all"
    # Escaped, so that an unclosed Markdown marker in the prompt does not change the rest of the answer.
    answer = _ANSWER.replace("PROMPT", re.sub(r"([\\`*_{}\[\]<>()#+!|$~-])", r"\\\1", quoted))
    if "long" in commands or model == "demo-fast":
        parts = (_PART.replace("NUMBER", str(number)) for number in range(1, 10))
        return answer + "".join(parts)
    return answer


def _tokens(text: str) -> list[str]:
    """Splits text into pieces the size of a model's tokens."""
    return re.findall(r"\s*(?:\w{1,7}|[^\w\s])|\s+", text)


def _count(request: ChatRequest) -> int:
    return sum(len(_tokens(text)) for text in (request.system, *(turn.text for turn in request.turns)))


def _error_classes(base: type[errors.ProviderError]) -> Iterator[type[errors.ProviderError]]:
    for error in base.__subclasses__():
        yield error
        yield from _error_classes(error)


_ERRORS = {error.code: error for error in _error_classes(errors.ProviderError)}

_COMMAND = re.compile(
    r"/demo (echo|long|think|slow|instant|tool|search|image|length|refuse|cut|break|flaky|hang|stall|fail)\b"
)

_CONTINUE = re.compile(r"\bcontinue it exactly where it stopped\b", re.IGNORECASE)

_TITLE = re.compile(r"\bwrite a title for this conversation\b", re.IGNORECASE)

_SUMMARY = re.compile(r"\bsummarise the conversation below\b", re.IGNORECASE)

_REASONING = "The person wants to see how an answer looks. I will use a little of everything. "

_ANSWER = """\
## A demonstration

You wrote: *PROMPT*. No model has read it: this answer comes from **Steady's built-in demo**, so that you \
can see how a conversation feels before an administrator sets up a provider. It is written in [Markdown](https://commonmark.org/help/).

### What streaming looks like

1. Your message is stored *before* it is acknowledged.
2. Each token is shown as it arrives, and saved a moment later.
3. When the answer ends, its final state is written once:
   - `complete` if all was said,
   - `stopped` if you pressed **Stop**.

> A reply is never lost and never stuck.
> Close this tab in the middle of an answer, come back, and read on.

### A table

| Part | Keeps | Survives a crash |
|:-----|:------|:----------------:|
| Prompt | every character | yes |
| Reply | all but the last half second | yes |
| Typing dots | nothing | no |

### Some code

```python
def fibonacci(count: int) -> list[int]:
    \"\"\"The first `count` Fibonacci numbers.\"\"\"
    numbers = [0, 1]
    while len(numbers) < count:
        numbers.append(numbers[-1] + numbers[-2])
    return numbers[:count]
```

The ratio of two neighbours tends to $\\varphi = \\frac{1 + \\sqrt{5}}{2}$, because

$$
F_n = \\frac{\\varphi^n - (1 - \\varphi)^n}{\\sqrt{5}}
$$

### What to try next

- [x] Send a message
- [ ] Press **Stop** while an answer is being written
- [ ] Reload this page in the middle of an answer
- [ ] Write `/demo long`, `/demo think` or `/demo fail` and see what happens

That is all there is to see. ~~No more words.~~ Have a pleasant day! 🌱
"""

_PART = """
### Part NUMBER of a long answer

A long answer shows what a short one hides: whether the page keeps its place while you read further up, \
whether the text stays selectable while more of it arrives, and whether the last paragraph appears as \
quickly as the first. Nothing that is already on the screen should move, flicker or be drawn again.

- **Reading** goes at about four words a second, and writing in this demo goes a good deal faster.
- **Scrolling** up releases the page; a button brings you back to the newest line.
- **Copying** gives you the Markdown that the model wrote, not the page's decoration.

```sql
SELECT conversation_id, count(*) AS messages
FROM chat_message
WHERE created_at > now() - interval 'NUMBER days'
GROUP BY conversation_id
ORDER BY messages DESC;
```

When part NUMBER is done, the next one follows without a pause, until nine of them have been said. It is \
the same text each time, since the demo has only so much imagination.
"""
