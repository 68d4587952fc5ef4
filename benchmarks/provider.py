"""A provider with minimal cost: prebuilt chunks at a fixed pace over raw asyncio.

    python -m benchmarks.provider PORT TOKENS PACE [FOLDER]

The other benchmarks start it.

The text is plain, or with FOLDER the Markdown files in it, one after the other, four characters a token.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path


def chunk(**fields: object) -> bytes:
    data = {"id": "1", "object": "chat.completion.chunk", "model": "bench", **fields}
    body = f"data: {json.dumps(data)}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(body), body)


def delta(text: str) -> bytes:
    return chunk(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None}])


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = (
    chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    + chunk(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10})
    + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
)
MODELS = json.dumps({"object": "list", "data": [{"id": "bench", "object": "model"}]}).encode()


class Provider(asyncio.Protocol):
    def __init__(self, chunks: list[bytes], pace: float) -> None:
        self.chunks, self.pace = chunks, pace
        self.data = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, found, body = self.data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        if not found or len(body) < length or self.transport is None:
            return
        self.data = body[length:]
        if head.startswith(b"GET"):
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(MODELS), MODELS))
        else:
            self.transport.write(HEAD)
            self.send(0, asyncio.get_running_loop().time())

    def send(self, number: int, began: float) -> None:
        if self.transport is None:
            return
        if number == len(self.chunks):
            self.transport.write(LAST)
            return
        self.transport.write(self.chunks[number])
        loop = asyncio.get_running_loop()
        loop.call_at(began + (number + 1) / self.pace, self.send, number + 1, began)


def texts(tokens: int, folder: str = "") -> list[str]:
    """Returns the text of each token: sentences and paragraphs, as in real replies."""
    if not folder:
        return [f"tok{n}" + (".\n\n" if n % 60 == 59 else " ") for n in range(tokens)]
    whole = "\n\n".join(path.read_text(encoding="utf-8") for path in sorted(Path(folder).glob("*.md")))
    return re.findall(r"(?s).{1,4}", whole * (tokens * 4 // len(whole) + 1))[:tokens]


async def main(port: int, chunks: list[bytes], pace: float) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: Provider(chunks, pace), "127.0.0.1", port, backlog=1024
    )
    await server.serve_forever()


if __name__ == "__main__":
    every = [delta(text) for text in texts(int(sys.argv[2]), *sys.argv[4:])]
    asyncio.run(main(int(sys.argv[1]), every, float(sys.argv[3])))
