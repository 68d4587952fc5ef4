"""Makes `gfm-0.29.json` of the example lists in cmark-gfm's `test/` (its release 0.29.0.gfm.6):

    python -m tests.rendering.data.extract spec.txt extensions.txt > tests/rendering/data/gfm-0.29.json

The examples are John MacFarlane's, GitHub's and Yuki Izumi's, under CC-BY-SA 4.0.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

_FENCE = "`" * 32
_PART = re.compile(
    rf"^#+ (?P<section>[^\n]+)$|^{_FENCE} example[^\n]*\n(?P<markdown>.*?)^\.\n(?P<html>.*?)^{_FENCE}$",
    re.MULTILINE | re.DOTALL,
)


def examples(text: str) -> Iterator[dict[str, str]]:
    section = ""
    for part in _PART.finditer(text):
        if part["section"]:
            section = part["section"]
        else:
            markdown, html = (part[name].replace("→", "\t") for name in ("markdown", "html"))
            yield {"section": section, "markdown": markdown, "html": html}


def main() -> None:
    specification, extensions = (Path(name).read_text(encoding="utf-8") for name in sys.argv[1:])
    own = [example for example in examples(specification) if example["section"].endswith("(extension)")]
    print(
        json.dumps(
            {
                "source": "GitHub Flavored Markdown Spec 0.29-gfm, sections on extensions, and the examples "
                "of its reference implementation, test/spec.txt and test/extensions.txt of "
                "https://github.com/github/cmark-gfm, release 0.29.0.gfm.6",
                "author": "John MacFarlane, GitHub, Yuki Izumi",
                "licence": "CC-BY-SA-4.0, https://creativecommons.org/licenses/by-sa/4.0/",
                "examples": [
                    {"example": number, **example}
                    for number, example in enumerate([*own, *examples(extensions)], start=1)
                ],
            },
            ensure_ascii=False,
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
