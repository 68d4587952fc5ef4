"""Reads a page of the public web as text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from chat.tools.base import ToolError

MOST_BYTES = 2 * 1024 * 1024
_TEXT_TYPES = ("text/", "application/json", "application/xhtml+xml", "application/xml")
_HIDDEN = {"script", "style", "noscript", "template", "svg", "iframe", "head", "nav", "footer", "form"}
_BLOCKS = {"p", "div", "section", "article", "li", "tr", "br", "h1", "h2", "h3", "h4", "h5", "h6", "pre"}


async def read_web_page(url: str) -> str:
    """Reads a page of the public web and returns its text. `url` begins with https:// or http://."""
    from chat.tools.public_web import opened  # an HTTP client, which few processes need

    async with opened(url) as response:
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
        try:
            source = bytes(body[:MOST_BYTES]).decode(response.charset or "utf-8", "replace")
        except LookupError:
            source = bytes(body[:MOST_BYTES]).decode("utf-8", "replace")
    text = text_of(source) if "html" in kind else source
    cut = f"\n\n[Cut after {MOST_BYTES:,} bytes.]" if len(body) > MOST_BYTES else ""
    return f"{response.url}\n\n{text}{cut}"


def text_of(source: str) -> str:
    """Returns the visible text of HTML, one line for each block."""
    reader = _Reader()
    reader.feed(source)
    reader.close()
    text = "".join(reader.pieces)
    text = re.sub(r"[^\S\n]+", " ", text)
    return re.sub(r" ?\n\s*", "\n", text).strip()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self.pieces.append("\n")
        if tag in _HIDDEN or (self._hidden and tag == self._hidden[-1]):
            self._hidden.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._hidden and tag == self._hidden[-1]:
            self._hidden.pop()
        if tag in _BLOCKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(re.sub(r"\s+", " ", data))
