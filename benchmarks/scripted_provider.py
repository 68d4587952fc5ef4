"""A provider that costs next to nothing: Chat Completions over raw asyncio, with chunks made beforehand.

    python -m benchmarks.scripted_provider [--tokens 500] [--pace 50]

Prints its port. Each request gets `tokens` chunks at `pace` a second; one timer serves all connections.
`GET /started` answers with the monotonic time (system-wide clock) at which each prompt got its first chunk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

WORDS = [
    "The",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "the",
    "lazy",
    "dog",
    "while",
    "the",
    "tide",
    "comes",
    "in",
    "and",
    "goes",
    "out",
    "again",
]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    event = b"data: " + data + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(event), event)


def _content(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "bench", "choices": [choice]}
    return _chunk(json.dumps(body).encode())


def chunks(tokens: int) -> list[bytes]:
    """A reply in paragraphs of 60 words, one word a token."""
    texts = [WORDS[n % len(WORDS)] + (".\n\n" if n % 60 == 59 else " ") for n in range(tokens)]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {
        "choices": [],
        "usage": {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": tokens},
    }
    tail = _chunk(json.dumps(end).encode()) + _chunk(json.dumps(usage).encode()) + _chunk(b"[DONE]")
    return [*map(_content, texts), tail + b"0\r\n\r\n"]


class Provider:
    def __init__(self, tokens: int, pace: float) -> None:
        self.chunks, self.period = chunks(tokens), 1 / pace
        self.streams: dict[asyncio.StreamWriter, int] = {}
        self.started: dict[str, float] = {}

    async def tick(self) -> None:
        """Sends each stream its next chunk, `pace` times a second."""
        due = time.monotonic()
        while True:
            for writer, position in list(self.streams.items()):
                writer.write(self.chunks[position])
                if position + 1 < len(self.chunks):
                    self.streams[writer] = position + 1
                else:
                    del self.streams[writer]
            due += self.period
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (
                        int(line[15:])
                        for line in head.lower().split(b"\r\n")
                        if line[:15] == b"content-length:"
                    ),
                    0,
                )
                body = await reader.readexactly(length)
                if head.startswith(b"POST"):
                    self.started[json.loads(body)["messages"][-1]["content"]] = time.monotonic()
                    writer.write(HEAD + self.chunks[0])
                    self.streams[writer] = 1
                else:
                    answer = json.dumps(self.started if b"/started" in head else {"data": [{"id": "bench"}]})
                    writer.write(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                        % (len(answer), answer.encode())
                    )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.streams.pop(writer, None)
            writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=500)
    parser.add_argument("--pace", type=float, default=50)
    arguments = parser.parse_args()
    provider = Provider(arguments.tokens, arguments.pace)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await provider.tick()


if __name__ == "__main__":
    asyncio.run(main())
