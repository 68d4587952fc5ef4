"""Streams generated documents for a while: `python -m tests.rendering.fuzz --seconds 600`.

Each document is cut at random. It must equal the whole at its end, must equal the snapshot at each step, and
must contain only harmless elements. Stops at the first failure and prints the document and its cut.
"""

import argparse
import random
import time
from dataclasses import dataclass

from chat.rendering.incremental import IncrementalRenderer
from chat.rendering.markdown import render_markdown
from tests.rendering.bad_inputs import EXPENSIVE, HOSTILE
from tests.rendering.documents import MARKUP, answers, examples, random_cut, random_document
from tests.rendering.page import Page, shape_of
from tests.rendering.test_bad_input import assert_harmless


@dataclass
class Figures:
    documents: int = 0
    characters: int = 0
    patches: int = 0
    repaired: int = 0  # finished blocks that changed before the end
    dearest: float = 0.0  # microseconds a character, of documents over 1,000 characters
    longest: float = 0.0  # milliseconds, one call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    source, figures = random.Random(options.seed), Figures()
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        text = made_up(source)
        chunks = random_cut(text, source) if source.random() < 0.7 else list(text)
        try:
            check(chunks, figures)
        except BaseException:
            print(f"seed {options.seed}, document {figures.documents}:\n{text!r}\n{chunks!r}")
            raise
    print(f"seed {options.seed}, {options.seconds:.0f} s, no failure: {figures}")


def made_up(source: random.Random) -> str:
    """Returns a document: random markup, or answers, examples and hostile text, spliced and damaged."""
    kind = source.random()
    if kind < 0.4:
        return random_document(source, EXAMPLES)
    text = source.choice(ANSWERS if kind < 0.75 else [*HOSTILE, *EXAMPLES, *SHORT_EXPENSIVE])
    for _ in range(source.randint(1, 6)):
        at, to = sorted(source.randint(0, len(text)) for _ in range(2))
        text = source.choice(
            [
                text[:at] + text[to:],
                text[:to] + text[at:to] * 2 + text[to:],
                text[:at] + source.choice(MARKUP) * source.choice([1, 1, 2, 9]) + text[at:],
                text[:at] + source.choice(EXAMPLES) + text[at:],
                text[:at] + source.choice(HOSTILE) + text[at:],
                text[:at]
                + "".join(source.choice(["> ", "- ", "  "]) + x for x in text[at:to].splitlines(True))
                + text[to:],
                text[:at]
                + chr(source.choice([source.randint(0, 0x2FF), source.randint(0, 0x10FFFF)]))
                + text[at:],
            ]
        )[:6_000]
    return text


def check(chunks: list[str], figures: Figures) -> None:
    text = "".join(chunks)
    renderer, page = IncrementalRenderer(), Page(random.Random(len(text)).choice(["first", "in turn"]))
    spent = 0.0
    finished: list[object] = []
    for chunk in chunks:
        renderer.feed(chunk)
        begun = time.perf_counter()
        patches = renderer.patches()
        took = time.perf_counter() - begun
        spent += took
        figures.longest = max(figures.longest, took * 1e3)
        page.apply(patches)
        figures.patches += len(patches)
        elements = page.body.elements
        figures.repaired += sum(a is not b for a, b in zip(finished, elements, strict=False))
        finished = list(elements[:-1])
        if len(text) < 400 or len(chunk) > 7:
            assert page.shape() == shape_of(renderer.snapshot())
    page.apply(renderer.finish())
    assert page.shape() == shape_of(renderer.snapshot()) == shape_of(render_markdown(text))
    assert_harmless(page.body.elements)
    figures.documents += 1
    figures.characters += len(text)
    if len(text) > 1_000:
        figures.dearest = max(figures.dearest, spent / len(text) * 1e6)


EXAMPLES = examples()
ANSWERS = list(answers().values())
SHORT_EXPENSIVE = [text[:3_000] for text in EXPENSIVE.values()]

if __name__ == "__main__":
    main()
