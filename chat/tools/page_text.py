"""A program that reads HTML from standard input and writes its visible text, both in UTF-8. It runs in a
process of its own, whose CPU time and memory the kernel limits. It imports nothing of Steady."""

from __future__ import annotations

import re
import resource
import signal
import sys
from html.parser import HTMLParser

CPU_SECONDS = 5
MEMORY_BYTES = 512 * 1024 * 1024
_HIDDEN = {"script", "style", "noscript", "template", "svg", "iframe", "head", "nav", "footer", "form"}
_BLOCKS = {"p", "div", "section", "article", "li", "tr", "br", "h1", "h2", "h3", "h4", "h5", "h6", "pre"}


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


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when this process ends
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source = sys.stdin.buffer.read().decode("utf-8", "replace")
    sys.stdout.buffer.write(text_of(source).encode("utf-8", "replace"))


if __name__ == "__main__":
    main()
