"""Reads a page of the public web as text."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from chat.tools.base import ToolError

MOST_BYTES = 2 * 1024 * 1024
_TEXT_TYPES = ("text/", "application/json", "application/xhtml+xml", "application/xml")
# Some of Python's other encodings take quadratic time.
_CHARSETS = frozenset(
    (
        *("utf-8", "utf8", "utf-16", "us-ascii", "iso-8859-1", "iso-8859-2", "iso-8859-15", "koi8-r"),
        *("windows-1250", "windows-1251", "windows-1252", "shift_jis", "euc-jp", "euc-kr"),
        *("gbk", "gb2312", "gb18030", "big5"),
    )
)


async def read_web_page(url: str) -> str:
    """Reads a page of the public web and returns its text. `url` begins with https:// or http://."""
    from chat.tools.public_web import open_url  # imports an HTTP client, which few processes need

    async with open_url(url) as response:
        if response.status >= 400:
            raise ToolError(f"The server answered with the status {response.status}.")
        kind = response.content_type
        if not kind.startswith(_TEXT_TYPES):
            raise ToolError(f"The page is not text but {kind}.")
        body = bytearray()
        async for chunk in response.content.iter_chunked(65_536):
            body += chunk
            if len(body) > MOST_BYTES:
                break
        charset = (response.charset or "").lower()
        source = bytes(body[:MOST_BYTES]).decode(charset if charset in _CHARSETS else "utf-8", "replace")
    text = await _text_of(source) if "html" in kind else source
    cut = f"\n\n[Cut after {MOST_BYTES:,} bytes.]" if len(body) > MOST_BYTES else ""
    return f"{response.url}\n\n{text}{cut}"


async def _text_of(source: str) -> str:
    """Returns the visible text of HTML. A process of its own reads it, because Python's parser takes
    quadratic time for unfinished tags and does not release the interpreter. Raises `ToolError`."""
    program = Path(__file__).with_name("page_text.py")
    reader = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(program)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},  # no secret
        start_new_session=True,
    )
    try:
        text, _ = await reader.communicate(source.encode("utf-8", "replace"))
    finally:
        if reader.returncode is None:
            reader.kill()
            await reader.wait()
    if reader.returncode:
        raise ToolError("The page could not be read, because it is too large or too complex.")
    return text.decode()
