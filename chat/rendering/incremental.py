from dataclasses import dataclass

from chat.rendering.markdown import render_markdown


@dataclass(frozen=True, slots=True)
class Patch:
    swap: str
    path: str
    html: str


class IncrementalRenderer:
    def __init__(self) -> None:
        self.source = ""

    def feed(self, text: str) -> None:
        self.source += text

    def patches(self) -> list[Patch]:
        return [Patch("innerHTML", "", render_markdown(self.source))]

    def snapshot(self) -> str:
        return render_markdown(self.source)

    def finish(self) -> list[Patch]:
        return self.patches()
