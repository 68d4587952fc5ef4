"""A growing reply as the smallest HTML patches."""

from dataclasses import dataclass

from chat.rendering.markdown import render_blocks
from chat.rendering.sanitise import sanitise
from chat.rendering.source import clean_source, split_unfinished
from chat.rendering.writer import Notes, write


@dataclass(frozen=True, slots=True)
class Patch:
    """One htmx swap: its style, a selector below the message's body ("" is the body), and safe HTML."""

    swap: str
    path: str
    html: str


class IncrementalRenderer:
    """Renders one reply while it grows; finished blocks are appended once, the open one is replaced."""

    def __init__(self, *, id_prefix: str = "") -> None:
        self._id_prefix = id_prefix
        self._fed: list[str] = []
        self._unfinished = ""
        self._pending: list[str] = []
        self._window = ""
        self._notes = Notes(id_prefix)
        self._finished: list[str] = []
        self._open: list[str] = []

    @property
    def source(self) -> str:
        """All text that was fed, as it came."""
        return "".join(self._fed)

    def feed(self, text: str) -> None:
        """Take more source text; only stores it."""
        self._fed.append(text)
        text, self._unfinished = split_unfinished(self._unfinished + text)
        if text:
            self._pending.append(clean_source(text))

    def patches(self) -> list[Patch]:
        """What brings a viewer from the last call's state to now."""
        if not self._pending:
            return []
        self._window += "".join(self._pending)
        self._pending.clear()
        shown = self._open
        complete = self._window[: self._window.rfind("\n") + 1]
        written = write(complete, self._notes, growing=True)
        done: list[str] = []
        if len(written.blocks) > 1:
            done = [sanitise(block) for block in written.blocks[:-1] if block]
            start = len(complete.encode()[: written.starts[-1]].decode())
            self._window = self._window[complete.rfind("\n", 0, start) + 1 :]
        self._open = [sanitise(b) for b in write(self._window, self._notes, growing=True).blocks if b]
        self._finished += done
        new = done + self._open
        same = 0
        while same < min(len(shown), len(new)) and shown[same] == new[same]:
            same += 1
        patches = [Patch("delete", "> :last-child", "")] * max(0, len(shown) - same - 1)
        if same < len(shown):
            if new:
                patches.append(Patch("outerHTML", "> :last-child", "".join(new[same:])))
            else:
                patches.append(Patch("delete", "> :last-child", ""))
        elif same < len(new):
            patches.append(Patch("append", "", "".join(new[same:])))
        return patches

    def snapshot(self) -> str:
        """The body's HTML as the last call of `patches` or `finish` left it."""
        return "".join(self._finished + self._open)

    def finish(self) -> list[Patch]:
        """Render the whole once more and replace the body if it differs."""
        whole = render_blocks(self.source, id_prefix=self._id_prefix)
        differs = "".join(whole) != self.snapshot()
        self._finished, self._open = whole, []
        self._pending.clear()
        return [Patch("innerHTML", "", "".join(whole))] if differs else []
