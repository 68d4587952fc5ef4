"""Attacks of `stall` that are requests, not texts: each runs again and again until the time is over.

An attack whose requests are all refused measures nothing: each one asserts that the server did the work.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import zipfile
from collections.abc import Awaitable, Callable
from functools import cache
from itertools import count
from uuid import uuid4

from PIL import Image

from tests.faults.client import Person

MB = 1024 * 1024

type Attack = Callable[[Person], Awaitable[object]]


@cache
def picture() -> bytes:
    """A picture of 36 million pixels in about 100 kB."""
    file = io.BytesIO()
    Image.new("L", (6_000, 6_000)).save(file, "PNG")
    return file.getvalue()


@cache
def document() -> bytes:
    """A Word document of 100 MB in about 100 kB."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<w:p>" * (20 * MB))
    return file.getvalue()


def chats() -> bytes:
    """400 new chats as another product exports them, 8 MB."""
    message = {"role": "user", "content": "word " * 800}
    nodes: dict[str, object] = {
        str(number): {
            "id": str(number),
            "parentId": str(number - 1) if number else None,
            "childrenIds": [],
            **message,
        }
        for number in range(5)
    }
    return json.dumps(
        [
            {
                "id": str(uuid4()),
                "title": "x",
                "chat": {"title": "x", "history": {"currentId": "4", "messages": nodes}},
            }
            for _ in range(400)
        ]
    ).encode()


async def send_pieces(person: Person, path: str, name: str, data: bytes) -> int:
    """Returns the number of pieces that the server took."""
    for number, offset in enumerate(range(0, len(data), MB)):
        headers = {
            **person.headers(),
            "Upload-Offset": str(offset),
            "Upload-Length": str(len(data)),
            "Upload-Name": name,
        }
        piece = data[offset : offset + MB]
        async with person.http.patch(person.url + path, data=piece, headers=headers) as answer:
            await answer.read()
            if answer.status >= 400:
                return number
    return number + 1


async def uploads(person: Person) -> None:
    files = {"a.png": picture(), "a.docx": document(), "a.txt": b"a " * (4 * MB)}
    taken = await asyncio.gather(
        *(
            send_pieces(person, f"/files/{uuid4()}/", name, data)
            for name, data in files.items()
            for _ in range(4)
        )
    )
    assert any(taken), taken


async def searches(person: Person) -> None:
    queries = ["a", '"a a a a"', "a " * 200, "é" * 2_000, "from:me " * 50 + "a", "before:2999-01-01 a"]
    found = await asyncio.gather(*(person.get(f"/search/?q={query}") for query in queries))
    assert any(status == 200 for status, _ in found), found


async def imports(person: Person) -> None:
    """Uploads a file, agrees to its summary, and waits until the 400 chats are stored."""
    data = chats()
    assert await send_pieces(person, "/settings/transfer/piece/", "", data) == -(-len(data) // MB)
    status, text = await person.send("POST", "/settings/transfer/", {"uploaded": "chats.json"}, htmx=False)
    assert status == 302, text
    agreed = ""
    for _ in count():
        _, html = await person.send("GET", "/settings/transfer/imports/")
        state = re.search(r'data-state="(\w+)"', html)
        assert state, html
        if state[1] == "ready" and not agreed:
            path = re.search(r"/settings/transfer/imports/[0-9a-f-]{36}/", html)
            assert path, html
            agreed = path[0]
            await person.send("POST", agreed, htmx=False)
        elif state[1] in ("done", "failed"):
            assert state[1] == "done", html
            return
        await asyncio.sleep(0.2)


async def exports(person: Person) -> None:
    made = await asyncio.gather(
        *(
            person.send("POST", "/export/", {"format": form}, htmx=False)
            for form in ("json", "markdown")
            for _ in range(3)
        )
    )
    assert any(status == 200 for status, _ in made), made


REQUESTS: dict[str, Attack] = {
    "uploads of hostile files, twelve at once": uploads,
    "searches in a chat of 150 kB messages": searches,
    "an import of 400 chats": imports,
    "exports of all chats, six at once": exports,
}
