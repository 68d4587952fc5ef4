"""Documents to stream, and ways to cut them."""

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from hypothesis import strategies as st

HERE = Path(__file__).parent
CORPUS = sorted((HERE / "corpus").glob("*.md"))
SPECIFICATIONS = sorted((HERE / "data").glob("*.json"))

# Roughly as the tokenizers of models: a word with the space before it, a run of blanks or of marks.
_TOKEN = re.compile(r" ?[^\W\d_]{1,8}| ?\d{1,3}|\s+| ?[^\w\s]{1,3}|.", re.DOTALL)

# fmt: off
MARKUP = [
    "- ", "  - ", "    ", "> ", "1. ", "10) ", "+ ", "* ", "\n", "\n\n", "  \n", "```\n", "```py\n",
    "~~~\n", "`", "``", "*", "**", "***", "_", "~~", "[", "](http://x.org)", "](/u)", "![",
    "| a | b |\n", "|---|---|\n", "|", "$", "$$", "\\(", "\\)", "\\[", "\\]", "# ", "===\n", "---\n",
    "<b>", "<div>\n", "</div>", "<!--", "-->", "&amp;", "&", "\\", "\t", "[^1]", "[^1]: note\n",
    "[foo]: /url\n", "[foo]", "- [x] ", "> [!NOTE]\n", "!", "```math\n", "http://a.b/c_d", "www.x.org",
    "me@x.org", "\r\n", "\r", "\x00", "\ud83d", "\ude00", "\u0301", "👨‍👩‍👧", "🇩🇪", "你好", "مرحبا", "5",
    "€ 10", "word ", "foo bar", "x", " ", "2 * 3", "a_b_c", "- > 25",
]
# fmt: on


def examples() -> list[str]:
    """The Markdown of every example of the specifications."""
    return [
        example["markdown"]
        for path in SPECIFICATIONS
        for example in json.loads(path.read_text(encoding="utf-8"))["examples"]
    ]


def answers() -> dict[str, str]:
    """The corpus: name and text of answers as models write them."""
    return {path.stem: path.read_text(encoding="utf-8") for path in CORPUS}


def tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)


def cuts(text: str, seed: int = 0) -> Iterator[list[str]]:
    """Several ways to cut `text`: by character, by token, at random, not at all."""
    yield list(text)
    yield tokens(text)
    yield random_cut(text, random.Random(seed))
    yield [text]


def random_cut(text: str, source: random.Random) -> list[str]:
    chunks: list[str] = []
    at = 0
    while at < len(text):
        size = source.choice([1, 1, 2, 3, 5, 8, 20, 60])
        chunks.append(text[at : at + size])
        at += size
    return chunks


def random_document(source: random.Random, known: list[str]) -> str:
    """Markup thrown together, or examples of the specifications after and inside each other."""
    if source.random() < 0.6:
        return "".join(source.choice(MARKUP) for _ in range(source.randint(2, 30)))
    text = source.choice(["", "\n"]).join(source.choice(known) for _ in range(source.randint(2, 4)))
    if source.random() < 0.4:
        text = "".join(source.choice(["> ", "- ", "   ", "1. ", ""]) + line for line in text.splitlines(True))
    return text


_words = st.text(alphabet="abc é你1 .,:!", min_size=1, max_size=12)
_lines = st.lists(st.one_of(_words, st.sampled_from(MARKUP)), min_size=1, max_size=6).map("".join)
_prefix = st.sampled_from(["", "", "", "> ", "- ", "  ", "    ", "1. ", "  - ", "> - ", "# ", "| ", "```"])
_blocks = st.lists(st.tuples(_prefix, _lines).map("".join), min_size=1, max_size=8)
documents = st.tuples(_blocks, st.sampled_from(["\n", "\n\n", "\n \n"])).map(
    lambda made: made[1].join(made[0])
)
