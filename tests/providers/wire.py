"""A scripted provider on a real socket, speaking all four wire formats, also as the clouds do.

    python -m tests.providers.wire --port 0        prints the port, serves until it is ended

A script stands in the last user message, or in the model's name, as `/wire name=value ...`:

    tokens=5        how many words are sent                 text=a_b    this text instead (_ is a space)
    pace=50         words a second; 0 is at once            first=0.5   seconds before the first byte
    wide=100        each word takes 100 characters
    reasoning=3     words of reasoning before the answer    tools=2     tool calls after it,
                                                            if it has not their results
    search=1        a search of the web before the answer, which cites `CITED`, if the request offers it
    call=a_name     the beginning of the names of these tools
    fail=429        this HTTP status; code=... its code     retry_after=2   the header beside it
    fails=2         only the first 2 requests fail          error=3     an error object after 3 words
    cut=3           a clean end of file after 3 words       drop=3      the connection is reset after 3
    hold=3          silence after 3 words, until `Wire.released` is set
    hang=3          silence after 3 words (-1: no headers)  malformed=3 broken JSON after 3 words
    refuse=1 length=1 filter=1  how it ends                 think=1     reasoning as <think> in the text
    split=1         written in pieces of that many bytes    crlf=1      lines end with CRLF
    unknown=1       unknown events, fields and comments     usage=0 done=0 finish=0  leave that out
    signature=1     signed or encrypted reasoning           whole=1     no stream: one JSON message
    twice=1         each numbered event is sent twice       refuses=... complain about an option by name
    leak=1          the error's message repeats the key     linger=1    no end of file after the end
    reset=1         the connection is reset after the end
    echo=1          and the prompt                          page=1      a web page, with status 200
    halves=1        "Hi", an emoji and "there", the emoji split over two deltas
    letters=1       each character of the words is a delta of its own

`GET /_log` tells what was received and sent and how each connection ended; `?settled=1` waits until all
of them have. `DELETE /_log` forgets it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import json
import re
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from ssl import SSLContext
from typing import Any

from aiohttp import web

CLOUDS = ("azure", "bedrock", "vertex")
FORMATS = ("openai", "openai_chat", "openai_compatible", "anthropic", "gemini")
SIGNATURE = "EqQBCkgIARABGAIiQL8+/c2lnbmF0dXJl+AAAA=="
# How each format says that a request has the results of tools.
RESULTS = ("tool_call_id", "function_call_output", "tool_result", "functionResponse")
# The pages that an answer cites. The last two are hostile.
CITED = (
    ("https://news.example/a?day=1&x=2", "News <b>of</b> the day"),
    ("https://weather.example/", "Weather \u202egnp.exe [click](https://evil.example)"),
    ("javascript:alert(document.cookie)", "Harmless"),
)
SEARCHES = ('"web_search"', '"web_search_20250305"', '"googleSearch"', '"web_search_options"')
ENCRYPTED = "EqgfCioIARgBIiQ3YTAwMjY1Mi1mZjM5LTQ1NGUtODgxNC1kNjNjNTk1ZWI3Y"
PAGE = "<!DOCTYPE html>\n<html><head><title>A gateway</title></head><body>Log in</body></html>"
USAGE = {"input": 11, "cached": 4, "reasoning": 3}


@dataclass
class Script:
    """What a request asks the server to do. Counts are in words, times in seconds."""

    tokens: int = 5
    wide: int = 0  # characters of a word, at least
    text: str = ""
    pace: float = 0.0
    first: float = 0.0
    reasoning: int = 0
    tools: int = 0
    search: int = 0
    call: str = "tool"
    fail: int = 0
    code: str = ""
    retry_after: str = ""
    fails: int = 1_000_000
    error: int = -1
    cut: int = -1
    drop: int = -1
    hang: int = -2
    hold: int = -1
    malformed: int = -1
    refuse: int = 0
    filter: int = 0
    length: int = 0
    think: int = 0
    split: int = 0
    crlf: int = 0
    unknown: int = 0
    usage: int = 1
    done: int = 1
    finish: int = 1
    signature: int = 0
    whole: int = 0
    twice: int = 0
    refuses: str = ""
    leak: int = 0
    linger: int = 0
    reset: int = 0
    echo: int = 0
    page: int = 0
    halves: int = 0
    letters: int = 0

    @classmethod
    def parse(cls, text: str) -> Script:
        asked = re.findall(r"(\w+)=([^\s;]+)", text.partition("/wire")[2])
        kinds = {entry.name: type(entry.default) for entry in fields(cls)}
        return cls(**{name: kinds[name](value) for name, value in asked})

    @property
    def words(self) -> list[str]:
        if self.halves:
            return ["Hi \ud83d", "\ude00 there"]
        if self.text:
            return re.findall(r"\s*\S+|\s+$", self.text.replace("_", " "))
        words = [("Grüße " if number % 7 == 3 else f"word{number} ") for number in range(self.tokens)]
        words = [word.ljust(self.wide) for word in words]
        return list("".join(words)) if self.letters else words


@dataclass
class Entry:
    """One request in the log."""

    path: str
    headers: dict[str, str]
    body: Any
    words: int = 0
    bytes: int = 0
    end: str = "open"  # then "complete", "cut", "dropped", "failed", "closed by client"
    at: float = 0.0  # when it came, in the time of the event loop
    seconds: float = 0.0  # until its end
    last: float = 0.0  # when its last data was sent: no client can know of its end before that


@dataclass
class Wire:
    """The server: `origin` is its address once `serve` runs it."""

    origin: str = ""
    log: list[Entry] = field(default_factory=list)
    attempts: dict[str, int] = field(default_factory=dict)
    models_fail: int = 0  # a status that model lists are answered with; 200 is an unreadable list
    models_page: bool = False  # or with a web page
    models: list[Any] | None = None  # or with these
    flood: int = 0  # every request is answered with this status and a body without end
    flooded: int = 0  # bytes of it that were sent, of all requests
    released: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def base_url(self, kind: str) -> str:
        return f"{self.origin}/v1" if kind.startswith("openai") or kind == "vertex" else self.origin

    async def settled(self) -> None:
        """Returns when no request is open."""
        async with self.changed:
            await self.changed.wait_for(lambda: all(entry.end != "open" for entry in self.log))

    async def reached(self, words: int) -> None:
        """Returns when the last request was sent this many words."""
        async with self.changed:
            await self.changed.wait_for(lambda: bool(self.log) and self.log[-1].words >= words)

    async def asked(self) -> None:
        """Returns when there was a request."""
        async with self.changed:
            await self.changed.wait_for(lambda: bool(self.log))

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024, middlewares=[self._floods])
        app.router.add_post("/v1/chat/completions", self._answer(ChatFormat))
        app.router.add_post("/v1/responses", self._answer(ResponsesFormat))
        app.router.add_post("/v1/messages", self._answer(MessagesFormat))
        for version in ("v1", "v1alpha", "v1beta"):
            path = f"/{version}/models"
            app.router.add_post(path + "/{model}:streamGenerateContent", self._answer(GeminiFormat))
            app.router.add_get(path, self._models)
        app.router.add_post("/openai/v1/chat/completions", self._answer(ChatFormat))
        app.router.add_get("/openai/v1/models", self._models)
        app.router.add_post("/model/{model}/invoke-with-response-stream", self._answer(BedrockFormat))
        publisher = "/v1/projects/p/locations/europe-west1/publishers/anthropic/models"
        app.router.add_post(publisher + "/{model}:streamRawPredict", self._answer(MessagesFormat))
        app.router.add_get("/_log", self._show_log)
        app.router.add_delete("/_log", self._forget)
        return app

    @web.middleware
    async def _floods(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if not self.flood:
            answer: web.StreamResponse = await handler(request)
            return answer
        response = web.StreamResponse(status=self.flood, headers={"Content-Type": "application/json"})
        await response.prepare(request)
        begin = b'{"error": {"message": "'
        while self.flooded < 1024**3:
            await response.write(begin or b"x" * 65_536)
            self.flooded += len(begin) or 65_536
            begin = b""
        return response

    def _answer(self, kind: type[Format]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.json()
            loop = asyncio.get_running_loop()
            entry = Entry(request.path, dict(request.headers), body, at=loop.time())
            async with self.changed:
                self.log.append(entry)
                self.changed.notify_all()
            try:
                return await self._play(kind, request, entry)
            except (asyncio.CancelledError, ConnectionError):
                entry.end = "closed by client"
                raise
            finally:
                entry.seconds = loop.time() - entry.at
                async with self.changed:
                    self.changed.notify_all()

        return handle

    async def _play(self, kind: type[Format], request: web.Request, entry: Entry) -> web.StreamResponse:
        model = entry.body.get("model") or request.match_info.get("model", "")
        prompt = kind.prompt(entry.body)
        script = Script.parse(prompt if "/wire" in prompt else model)
        if any(f'"{name}"' in json.dumps(entry.body) for name in RESULTS):
            script.tools = 0  # the model has what it asked for, and answers
        if not any(name in json.dumps(entry.body) for name in SEARCHES):
            script.search = 0
        wire = kind(script, model)
        wire.secret = " ".join([_secret_of(request)] * bool(script.leak) + [prompt] * bool(script.echo))
        if script.hang == -1:
            await asyncio.Event().wait()
        await asyncio.sleep(script.first)
        named = json.dumps(entry.body).count(script.refuses) - json.dumps(prompt).count(script.refuses)
        if script.refuses and named:
            entry.end = "failed"
            return web.json_response(wire.complaint(script.refuses), status=400)
        attempt = self.attempts[prompt] = self.attempts.get(prompt, 0) + 1
        if script.fail and attempt <= script.fails:
            entry.end = "failed"
            headers = {"Retry-After": script.retry_after} if script.retry_after else {}
            return web.json_response(wire.failure(script.fail), status=script.fail, headers=headers)
        if script.page:
            entry.end = "complete"
            return web.Response(text=PAGE, content_type="text/html")
        if script.whole:
            entry.end = "complete"
            return web.json_response(wire.whole())
        response = web.StreamResponse(headers={"Content-Type": kind.kind})
        await response.prepare(request)
        await self._stream(wire, script, response, entry)
        if script.linger:
            await asyncio.Event().wait()
        if script.reset:
            assert request.transport is not None
            await asyncio.sleep(0.02)  # the end is on its way
            reset = struct.pack("ii", 1, 0)
            request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            request.transport.abort()
        elif entry.end == "dropped":
            assert request.transport is not None
            request.transport.abort()
        else:
            await response.write_eof()
        return response

    async def _stream(self, wire: Format, script: Script, response: web.StreamResponse, entry: Entry) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for step, value in wire.steps():
            if step == "cut":
                entry.end = "cut"
                return
            if step == "drop":
                entry.end = "dropped"
                return
            if step == "hang":
                await asyncio.Event().wait()
            if step == "hold":
                await self.released.wait()
            data = value if isinstance(value, bytes) else b"".join(wire.encode(item) for item in value)
            size = script.split or len(data)
            entry.last = loop.time()
            for start in range(0, len(data), size or 1):
                await response.write(data[start : start + size])
            entry.bytes += len(data)
            if step == "error":
                entry.end = "failed"
                return
            if step == "word":
                entry.words += 1
                if entry.words == 1 or script.pace < 100:
                    async with self.changed:
                        self.changed.notify_all()
                if script.pace:
                    due += 1 / script.pace
                    await asyncio.sleep(max(0.0, due - loop.time()))
        entry.end = "complete"

    async def _models(self, request: web.Request) -> web.Response:
        if self.models_page:
            return web.Response(text=PAGE, content_type="text/html")
        if self.models_fail:
            return web.json_response({"what": ["is this?"]}, status=self.models_fail)
        if "x-goog-api-key" in request.headers:
            return web.json_response({"models": self.models or GEMINI_MODELS})
        if "anthropic-version" in request.headers:
            return web.json_response({"data": self.models or ANTHROPIC_MODELS, "has_more": False})
        return web.json_response({"object": "list", "data": self.models or OPENAI_MODELS})

    async def _show_log(self, request: web.Request) -> web.Response:
        if "settled" in request.query:
            await self.settled()
        return web.json_response([entry.__dict__ for entry in self.log])

    async def _forget(self, _request: web.Request) -> web.Response:
        self.log.clear()
        self.attempts.clear()
        return web.Response(status=204)


@asynccontextmanager
async def serve(port: int = 0, tls: SSLContext | None = None) -> Any:
    """Serves on 127.0.0.1 while the block runs, with `tls` as https://localhost."""
    wire = Wire()
    runner = web.AppRunner(wire.app(), handler_cancellation=True, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
        await site.start()
        wire.origin = f"{'https://localhost' if tls else 'http://127.0.0.1'}:{runner.addresses[0][1]}"
        yield wire
    finally:
        await runner.cleanup()


class Format:
    """One wire format: renders neutral steps as server-sent events.

    An item is a JSON value, a pair of event name and JSON value, or text that is sent as it is.
    """

    kind = "text/event-stream"

    def __init__(self, script: Script, model: str) -> None:
        self.script = script
        self.model = model
        self.secret = ""

    def steps(self) -> Iterator[tuple[str, Any]]:
        """The answer as named steps, each with the items to send."""
        script = self.script
        if script.unknown:
            yield "noise", [": a comment", self.unknown()]
        yield "start", self.start()
        if script.reasoning or script.signature:
            yield from (("reasoning", items) for items in self.reasoning(script.reasoning))
        if script.search:
            yield from (("search", items) for items in self.search())
        for number, word in enumerate([*script.words, None]):
            for name in ("error", "malformed", "cut", "drop", "hang"):
                if getattr(script, name) == number:
                    yield name, self.error() if name == "error" else [f"data: {{broken {self.secret}"]
            if script.hold == number:
                yield "hold", []
            if word is not None:
                yield "word", self.text(word)
        if script.search:
            yield from (("cite", items) for items in self.cite())
        if script.tools:
            yield from (("tool", items) for number in range(script.tools) for items in self.tool(number))
        if script.finish:
            yield "end", self.end()

    def encode(self, item: Any) -> bytes:
        ascii_only = bool(self.script.halves)
        if isinstance(item, str):
            text = item
        elif isinstance(item, tuple):
            text = f"event: {item[0]}\ndata: {json.dumps(item[1], ensure_ascii=ascii_only)}"
        else:
            text = f"data: {json.dumps(item, ensure_ascii=ascii_only)}"
        data = f"{text}\n\n".encode()
        return data.replace(b"\n", b"\r\n") if self.script.crlf else data

    @property
    def output_tokens(self) -> int:
        return len(self.script.words) + self.script.reasoning

    def name(self, number: int) -> str:
        return f"{self.script.call}{number}"

    def start(self) -> list[Any]:
        return []

    def reasoning(self, count: int) -> Iterator[list[Any]]:
        raise NotImplementedError

    def search(self) -> Iterator[list[Any]]:
        yield []

    def cite(self) -> Iterator[list[Any]]:
        raise NotImplementedError

    def complaint(self, option: str) -> Any:
        return self.failure(400, f"Unsupported parameter: '{option}' is not supported with this model.")

    # Each format gives these, too.
    def text(self, word: str) -> list[Any]:
        raise NotImplementedError

    def tool(self, number: int) -> Iterator[list[Any]]:
        raise NotImplementedError

    def end(self) -> list[Any]:
        raise NotImplementedError

    def error(self) -> list[Any]:
        raise NotImplementedError

    def unknown(self) -> Any:
        return {"type": "response.of_the_future", "novelty": 1}

    def whole(self) -> Any:
        return {}

    def failure(self, status: int, message: str = "It went wrong.") -> Any:
        raise NotImplementedError

    @staticmethod
    def prompt(body: Any) -> str:
        raise NotImplementedError


def _secret_of(request: web.Request) -> str:
    names = ("Authorization", "x-goog-api-key")
    return next((value for name in names if (value := request.headers.get(name))), "")


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content or ())


class ChatFormat(Format):
    def chunk(self, delta: Any = None, *, finish: str | None = None, **more: Any) -> dict[str, Any]:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": self.model}
        return {**chunk, "choices": choices, **more}

    def start(self) -> list[Any]:
        return [self.chunk({"role": "assistant", "content": ""})]

    def reasoning(self, count: int) -> Iterator[list[Any]]:
        if self.script.think:
            yield [self.chunk({"content": "<thi"}), self.chunk({"content": "nk>\n"})]
        for number in range(count):
            name = "content" if self.script.think else "reasoning_content"
            yield [self.chunk({name: f"thought{number} "})]
        if self.script.think:
            yield [self.chunk({"content": "</th"}), self.chunk({"content": "ink>\n\n"})]

    def text(self, word: str) -> list[Any]:
        return [self.chunk({"content": word})]

    def cite(self) -> Iterator[list[Any]]:
        for url, title in CITED:
            cited = {"url": url, "title": title, "start_index": 0, "end_index": len(self.script.words[0])}
            yield [self.chunk({"annotations": [{"type": "url_citation", "url_citation": cited}]})]

    def tool(self, number: int) -> Iterator[list[Any]]:
        def call(function: Any, **more: Any) -> list[Any]:
            return [self.chunk({"tool_calls": [{"index": number, **more, "function": function}]})]

        yield call({"name": self.name(number), "arguments": ""}, id=f"call_{number}", type="function")
        yield call({"arguments": '{"city": "Zü'})
        yield call({"arguments": 'rich"}'})

    def end(self) -> list[Any]:
        script = self.script
        refused = [self.chunk({"refusal": "I cannot."})] if script.refuse else []
        finish = "tool_calls" if script.tools else "stop"
        finish = "length" if script.length else "content_filter" if script.filter else finish
        usage = {
            "prompt_tokens": USAGE["input"],
            "completion_tokens": self.output_tokens,
            "prompt_tokens_details": {"cached_tokens": USAGE["cached"]},
            "completion_tokens_details": {"reasoning_tokens": USAGE["reasoning"]},
        }
        return [
            *refused,
            self.chunk({}, finish=finish),
            *([self.chunk(usage=usage)] if script.usage else ()),
            *(["data: [DONE]"] if script.done else ()),
        ]

    def error(self) -> list[Any]:
        return [self.failure(503)]

    def unknown(self) -> Any:
        return self.chunk({"content": None, "novelty": {"a": 1}}, service_tier="default")

    def whole(self) -> Any:
        message = {"role": "assistant", "content": "".join(self.script.words)}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return {"id": "1", "object": "chat.completion", "choices": choices}

    def failure(self, status: int, message: str = "It went wrong.") -> Any:
        code = self.script.code or {429: "rate_limit_exceeded", 503: "slow_down"}.get(status)
        return {
            "error": {
                "message": f"{message} {self.secret}",
                "type": "some_error",
                "code": code,
                "param": None,
            }
        }

    @staticmethod
    def prompt(body: Any) -> str:
        users = [message for message in body["messages"] if message["role"] == "user"]
        return _text_of(users[-1]["content"]) if users else ""


class ResponsesFormat(Format):
    def __init__(self, script: Script, model: str) -> None:
        super().__init__(script, model)
        self.number = -1

    def event(self, kind: str, **fields: Any) -> tuple[str, Any]:
        self.number += 1
        return kind, {"type": kind, "sequence_number": self.number, **fields}

    def encode(self, item: Any) -> bytes:
        return super().encode(item) * (2 if self.script.twice else 1)

    def start(self) -> list[Any]:
        return [self.event("response.created", response={"id": "resp_1", "status": "in_progress"})]

    def reasoning(self, count: int) -> Iterator[list[Any]]:
        item = {"type": "reasoning", "id": "rs_1", "summary": []}
        yield [self.event("response.output_item.added", output_index=0, item=item)]
        for number in range(count):
            kind = "response.reasoning_summary_text.delta"
            yield [self.event(kind, item_id="rs_1", summary_index=0, delta=f"thought{number} ")]
        if self.script.signature:
            item = {**item, "encrypted_content": SIGNATURE}
        yield [self.event("response.output_item.done", output_index=0, item=item)]

    def text(self, word: str) -> list[Any]:
        kind = "response.output_text.delta"
        return [self.event(kind, item_id="msg_1", output_index=1, content_index=0, delta=word)]

    def search(self) -> Iterator[list[Any]]:
        item: dict[str, Any] = {"type": "web_search_call", "id": "ws_1", "status": "in_progress"}
        yield [self.event("response.output_item.added", output_index=0, item=item)]
        yield [self.event("response.web_search_call.searching", output_index=0, item_id="ws_1")]
        item |= {"status": "completed", "action": {"type": "search", "query": "Grüße <today>"}}
        yield [self.event("response.output_item.done", output_index=0, item=item)]
        message = {"type": "message", "id": "msg_1", "content": []}
        yield [self.event("response.output_item.added", output_index=1, item=message)]

    def cite(self) -> Iterator[list[Any]]:
        for number, (url, title) in enumerate(CITED):
            cited = {"type": "url_citation", "url": url, "title": title, "start_index": 0}
            cited |= {"end_index": len(self.script.words[0])}
            place = {"item_id": "msg_1", "output_index": 1, "content_index": 0, "annotation_index": number}
            yield [self.event("response.output_text.annotation.added", **place, annotation=cited)]
        yield [self.event("response.output_text.annotation.added", annotation={"type": "file_path"})]

    def tool(self, number: int) -> Iterator[list[Any]]:
        index = number + 2
        item = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}"}
        item |= {"name": self.name(number), "arguments": ""}
        yield [self.event("response.output_item.added", output_index=index, item=item)]
        for piece in ('{"city": "Zü', 'rich"}'):
            kind = "response.function_call_arguments.delta"
            yield [self.event(kind, item_id=item["id"], output_index=index, delta=piece)]
        done = {**item, "arguments": '{"city": "Zürich"}'}
        yield [self.event("response.output_item.done", output_index=index, item=done)]

    def end(self) -> list[Any]:
        script = self.script
        refused = [self.event("response.refusal.delta", delta="I cannot.")] if script.refuse else []
        incomplete = "max_output_tokens" if script.length else "content_filter" if script.filter else None
        status = "incomplete" if incomplete else "completed"
        response: dict[str, Any] = {"id": "resp_1", "status": status, "model": self.model}
        if incomplete:
            response["incomplete_details"] = {"reason": incomplete}
        if script.usage:
            response["usage"] = {
                "input_tokens": USAGE["input"],
                "output_tokens": self.output_tokens,
                "input_tokens_details": {"cached_tokens": USAGE["cached"]},
                "output_tokens_details": {"reasoning_tokens": USAGE["reasoning"]},
            }
        return [*refused, self.event(f"response.{status}", response=response)]

    def error(self) -> list[Any]:
        error = {
            "code": self.script.code or "server_is_overloaded",
            "message": f"Busy. {self.secret}",
            "param": None,
        }
        return [self.event("error", **error)]

    failure = ChatFormat.failure

    @staticmethod
    def prompt(body: Any) -> str:
        if isinstance(body["input"], str):
            return body["input"]
        users = [item for item in body["input"] if item.get("role") == "user"]
        return _text_of(users[-1]["content"]) if users else ""


class MessagesFormat(Format):
    def __init__(self, script: Script, model: str) -> None:
        super().__init__(script, model)
        self.index = -1
        self.has_text = False

    @staticmethod
    def event(kind: str, **fields: Any) -> tuple[str, Any]:
        return kind, {"type": kind, **fields}

    def block(self, block: Any) -> tuple[str, Any]:
        self.index += 1
        return self.event("content_block_start", index=self.index, content_block=block)

    def delta(self, **delta: Any) -> tuple[str, Any]:
        return self.event("content_block_delta", index=self.index, delta=delta)

    def stop(self) -> tuple[str, Any]:
        return self.event("content_block_stop", index=self.index)

    def start(self) -> list[Any]:
        usage = {"input_tokens": USAGE["input"] - USAGE["cached"], "output_tokens": 1}
        usage |= {"cache_read_input_tokens": USAGE["cached"], "cache_creation_input_tokens": 0}
        message = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
        message |= {"model": self.model, "usage": usage if self.script.usage else {}}
        return [self.event("message_start", message=message), self.event("ping")]

    def reasoning(self, count: int) -> Iterator[list[Any]]:
        yield [self.block({"type": "thinking", "thinking": "", "signature": ""})]
        for number in range(count):
            yield [self.delta(type="thinking_delta", thinking=f"thought{number} ")]
        if self.script.signature:
            yield [self.delta(type="signature_delta", signature=SIGNATURE)]
        yield [self.stop()]

    def text(self, word: str) -> list[Any]:
        opened = [] if self.has_text else [self.block({"type": "text", "text": ""})]
        self.has_text = True
        return [*opened, self.delta(type="text_delta", text=word)]

    def search(self) -> Iterator[list[Any]]:
        use = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
        yield [self.block(use)]
        for piece in ("", '{"query": "Grü', 'ße <today>"}'):
            yield [self.delta(type="input_json_delta", partial_json=piece)]
        yield [self.stop()]
        pages = [
            {"type": "web_search_result", "url": url, "title": title, "encrypted_content": ENCRYPTED}
            for url, title in CITED
        ]
        yield [self.block({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": pages})]
        yield [self.stop()]

    def cite(self) -> Iterator[list[Any]]:
        """The text so far is its block."""
        for url, title in CITED:
            cited = {"type": "web_search_result_location", "url": url, "title": title}
            cited |= {"encrypted_index": "Eo8B", "cited_text": "It is so."}
            yield [self.delta(type="citations_delta", citation=cited)]

    def tool(self, number: int) -> Iterator[list[Any]]:
        if self.has_text and number == 0:
            yield [self.stop()]
        call = {
            "type": "tool_use",
            "id": f"call_{number}",
            "name": self.name(number),
            "input": {},
        }
        yield [self.block(call)]
        for piece in ("", '{"city": "Zü', 'rich"}'):
            yield [self.delta(type="input_json_delta", partial_json=piece)]
        yield [self.stop()]

    def end(self) -> list[Any]:
        script = self.script
        reason = "tool_use" if script.tools else "end_turn"
        reason = "max_tokens" if script.length else "refusal" if script.refuse or script.filter else reason
        usage: dict[str, Any] = {"output_tokens": self.output_tokens}
        usage |= {"output_tokens_details": {"thinking_tokens": 3}}
        if script.search:
            usage["server_tool_use"] = {"web_search_requests": script.search}
        delta = {"stop_reason": reason, "stop_sequence": None}
        return [
            *([self.stop()] if not script.tools and self.has_text else ()),
            self.event("message_delta", delta=delta, usage=usage if script.usage else {}),
            *([self.event("message_stop")] if script.done else ()),
        ]

    def error(self) -> list[Any]:
        return [("error", self.failure(529))]

    def unknown(self) -> Any:
        return ("novelty", {"type": "novelty", "index": 3, "delta": {"type": "novel_delta"}})

    def failure(self, status: int, message: str = "It went wrong.") -> Any:
        kinds = {
            401: "authentication_error",
            402: "billing_error",
            403: "permission_error",
            404: "not_found_error",
            413: "request_too_large",
            429: "rate_limit_error",
            500: "api_error",
            529: "overloaded_error",
        }
        kind = self.script.code or kinds.get(status, "invalid_request_error")
        return {
            "type": "error",
            "error": {"type": kind, "message": f"{message} {self.secret}"},
            "request_id": "req_1",
        }

    @staticmethod
    def prompt(body: Any) -> str:
        users = [message for message in body["messages"] if message["role"] == "user"]
        return _text_of(users[-1]["content"]) if users else ""


class BedrockFormat(MessagesFormat):
    """The events of Anthropic in the binary event stream of AWS, which has neither lines nor comments."""

    kind = "application/vnd.amazon.eventstream"

    def encode(self, item: Any) -> bytes:
        if isinstance(item, str):
            return b"" if item.startswith(":") else self.framed(item.removeprefix("data: "))
        if item[0] == "error":
            headers = {":exception-type": "serviceUnavailableException", ":message-type": "exception"}
            return framed(headers, json.dumps({"message": f"Busy. {self.secret}"}).encode())
        return self.framed(json.dumps(item[1]))

    @staticmethod
    def framed(event: str) -> bytes:
        headers = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
        return framed(headers, json.dumps({"bytes": base64.b64encode(event.encode()).decode()}).encode())


def framed(headers: dict[str, str], payload: bytes) -> bytes:
    """Returns one message of AWS's event stream: lengths, headers, payload and checksums.
    https://smithy.io/2.0/aws/amazon-eventstream.html"""
    coded = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(coded) + len(payload), len(coded))
    message = prelude + struct.pack(">I", binascii.crc32(prelude)) + coded + payload
    return message + struct.pack(">I", binascii.crc32(message))


class GeminiFormat(Format):
    def chunk(self, *parts: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
        if finish:
            candidate["finishReason"] = finish
        return {"candidates": [candidate], "modelVersion": self.model, **more}

    def reasoning(self, count: int) -> Iterator[list[Any]]:
        for number in range(count):
            yield [self.chunk({"text": f"thought{number} ", "thought": True})]

    def text(self, word: str) -> list[Any]:
        return [self.chunk({"text": word})]

    def cite(self) -> Iterator[list[Any]]:
        first = self.script.words[0]
        chunk = self.chunk()
        chunk["candidates"][0]["groundingMetadata"] = {
            "webSearchQueries": ["Grüße <today>"],
            "searchEntryPoint": {"renderedContent": "<style>a {}</style><a href='https://evil.example'>"},
            "groundingChunks": [{"web": {"uri": url, "title": title}} for url, title in CITED],
            "groundingSupports": [
                {
                    "segment": {"endIndex": len(first.encode()), "text": first},
                    "groundingChunkIndices": [*range(len(CITED)), 99],
                }
            ],
        }
        yield from ([chunk], [chunk])  # repeated, as later chunks may do

    def tool(self, number: int) -> Iterator[list[Any]]:
        part: dict[str, Any] = {"functionCall": {"name": self.name(number), "args": {"city": "Zürich"}}}
        if self.script.signature and number == 0:
            part["thoughtSignature"] = SIGNATURE
        yield [self.chunk(part)]

    def end(self) -> list[Any]:
        script = self.script
        usage = {
            "promptTokenCount": USAGE["input"],
            "candidatesTokenCount": self.output_tokens - USAGE["reasoning"],
            "thoughtsTokenCount": USAGE["reasoning"],
            "cachedContentTokenCount": USAGE["cached"],
        }
        more = {"usageMetadata": usage} if script.usage else {}
        if script.filter:
            return [{"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, **more}]
        signed = script.signature and not script.tools
        last = [{"text": "", "thoughtSignature": SIGNATURE}] if signed else []
        finish = "MAX_TOKENS" if script.length else "SAFETY" if script.refuse else "STOP"
        return [self.chunk(*last, finish=finish, **more)]

    def error(self) -> list[Any]:
        return [self.failure(503)]

    def unknown(self) -> Any:
        return {"novelty": {"a": 1}}

    def failure(self, status: int, message: str = "It went wrong.") -> Any:
        names = {
            400: "INVALID_ARGUMENT",
            401: "UNAUTHENTICATED",
            403: "PERMISSION_DENIED",
            404: "NOT_FOUND",
            429: "RESOURCE_EXHAUSTED",
            500: "INTERNAL",
            503: "UNAVAILABLE",
            504: "DEADLINE_EXCEEDED",
        }
        error = {
            "code": status,
            "message": message,
            "status": self.script.code or names.get(status, "UNKNOWN"),
        }
        return {"error": error}

    @staticmethod
    def prompt(body: Any) -> str:
        users = [content for content in body["contents"] if content["role"] == "user"]
        return _text_of(users[-1]["parts"]) if users else ""


OPENAI_MODELS = [
    {"id": name, "object": "model", "created": 1, "owned_by": "wire"}
    for name in (
        "gpt-4o",
        "gpt-4o-2024-11-20",
        "gpt-5",
        "o3",
        "chatgpt-4o-latest",
        "text-embedding-3-small",
        "whisper-1",
        "tts-1",
        "gpt-4o-realtime-preview",
        "gpt-4o-mini-tts",
        "gpt-4o-transcribe",
        "gpt-image-1",
        "gpt-audio",
        "dall-e-3",
        "omni-moderation-latest",
        "sora-2",
    )
]
OPENAI_MODELS.append(
    {
        "id": "wire",
        "object": "model",
        "max_model_len": 4096,
        "name": "The wire",
        "pricing": {"prompt": "0.0000005", "completion": "0.000002"},
    }
)
OPENAI_MODELS += [
    {"id": f"priced-{price}", "object": "model", "pricing": {"prompt": price, "completion": price}}
    for price in ("-1", "", "NaN", "1e400", None)
]
OPENAI_MODELS.append({"id": "an-embedder", "object": "model", "type": "embeddings"})

ANTHROPIC_MODELS = [
    {
        "id": "claude-wire-1",
        "type": "model",
        "display_name": "Claude Wire",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
        "capabilities": {"image_input": {"supported": True}, "thinking": {"supported": True}},
    },
    {"id": "claude-old", "type": "model", "display_name": "Claude Old"},
]

GEMINI_MODELS = [
    {
        "name": "models/gemini-wire",
        "displayName": "Gemini Wire",
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "thinking": True,
    },
    {"name": "models/text-embedding-004", "supportedGenerationMethods": ["embedContent"]},
    {"name": "models/gemini-wire-preview-tts", "supportedGenerationMethods": ["generateContent"]},
]


async def _main() -> None:
    parser = argparse.ArgumentParser(description="A scripted model provider for tests.")
    parser.add_argument("--port", type=int, default=0)
    async with serve(parser.parse_args().port) as wire:
        print(wire.origin.rpartition(":")[2], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(_main())
    except KeyboardInterrupt:
        pass
