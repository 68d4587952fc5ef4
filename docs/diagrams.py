"""Draws the diagrams of the architecture page: `uv run python -m docs.diagrams MMDC [OPTION ...]`.

Each picture `images/NAME.svg` of docs/architecture.md is drawn from the first Mermaid source after it. MMDC
is the command of @mermaid-js/mermaid-cli, which needs a browser. It receives all further arguments.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PAGE = Path(__file__).with_name("architecture.md")


def diagrams() -> Iterator[tuple[Path, str]]:
    """Yields the file and the Mermaid source of each picture."""
    text = PAGE.read_text(encoding="utf-8")
    for found in re.finditer(r"\]\((images/\w+\.svg)\).*?```mermaid\n(.*?)```", text, re.DOTALL):
        yield PAGE.with_name("images") / Path(found[1]).name, found[2]


if __name__ == "__main__":
    for picture, source in diagrams():
        command = [*sys.argv[1:], "--input", "-", "--output", str(picture), "--backgroundColor", "white"]
        subprocess.run(command, input=source, text=True, check=True)  # noqa: S603
