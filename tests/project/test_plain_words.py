"""Code, comments and docs use the standard words: no former name and no metaphor.

In Python the names, comments and docstrings are read, not other strings, which may be data. Templates are
read without their sentences for people, and scripts, docs and configuration files completely. The sentences
for people are read in the catalog of translations. For these and the CHANGELOG some more words are settled.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
# What is said instead. Plurals, and verbs with an s, are found too.
INSTEAD = {
    "dear": "expensive",
    "lives on": "continues, stays open",
    "sentinel": "session monitor",
    "hint": "published message, notification",
    "replica": "remote log",
    "concession": "parameter fallback",
    "valve": "backpressure producer",
    "bell": "listener",
    "rung": "woken",
    "hearts": "heartbeats",
    "house": "project",
    "rooms": "packages",
    "door": "the way in, a relay",
    "wear": "use",
    "whoever": "the user, the client, the caller",
    "somebody": "a user",
    "hear": "receive",
    "heard": "received, notified",
    "learn": "receive, find",
    "die": "end",
    "died": "ended",
    "dies": "ends",
    "death": "end",
    "self test": "connection check",
    "the way of": "how",
    "give back": "release",
    "has come": "has arrived, so far",
    "path version": "path_revision",
    "sign of life": "heartbeat",
    "beat": "interval, heartbeat",
    "heart": "heartbeat",
    "in the line": "in the queue",
    "has line": "has_queue",
    "look seconds": "poll seconds",
}
# The same for people who use Steady: one word for one thing on the page.
INSTEAD_FOR_PEOPLE = {
    "thought": "reasoning",
    "thinking": "reasoning",
    "calls of tool": "tool calls",
    "call of a tool": "tool call",
    "everybody": "everyone",
    "go on": "continue",
    "goes on": "continues",
    "gone on": "continued",
    "look at": "check",
    "look into": "check",
    "mend": "correct",
    "fair line": "fair queue",
    "same line": "same queue",
    "open to you": "available to you",
}
# Ordinary uses: in a file (or a folder, with its /), and why.
ALLOWED = {
    ("locale/de/LC_MESSAGES/django.po", "go on"): "a sentence that an earlier version stored",
    ("chat/checks.py", "hint"): "the argument of Django's check messages",
    ("chat/management/commands/serve.py", "hint"): "the attribute of Django's check messages",
}


def one_of(*words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(word.replace(' ', '[ _-]') for word in words)})s?\b", re.IGNORECASE)


WORDS = one_of(*INSTEAD)
WORDS_FOR_PEOPLE = one_of(*INSTEAD, *INSTEAD_FOR_PEOPLE)
FOR_PEOPLE = ("CHANGELOG.md", "locale/de/LC_MESSAGES/django.po")
PYTHON = ("chat/*.py", "chatproject/*.py", "benchmarks/*.py", "docs/*.py", "tests/*.py", "manage.py")
OTHERS = (
    *("templates/*.html", "static/js/*.js", "static/css/*.css", "docs/*.md", "deploy/*"),
    *(
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "compose.yaml",
        "Dockerfile",
        ".ci/run",
        "pyproject.toml",
    ),
)
# What a template says to people is not code.
SENTENCES = re.compile(r"{% translate .*?%}|{% blocktranslate.*?{% endblocktranslate %}", re.DOTALL)
LEFT_OUT = ("tests/project/test_plain_words.py", "chat/migrations/")


def files(*patterns: str) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [
        path
        for path in listed.stdout.splitlines()
        if not path.startswith(LEFT_OUT) and (ROOT / path).is_file()
    ]


def said(path: str) -> Iterator[tuple[int, str]]:
    """Yields line numbers and texts: for Python its names, comments and docstrings, for a catalog its English
    sentences."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".po"):
        for entry in re.finditer(r'^msgid(?:_plural)? ((?:".*"\n)+)', text, re.MULTILINE):
            sentence = "".join(ast.literal_eval(line) for line in entry[1].splitlines())
            yield text.count("\n", 0, entry.start()) + 1, sentence
    elif not path.endswith(".py"):
        yield from enumerate(SENTENCES.sub(lambda found: "\n" * found[0].count("\n"), text).splitlines(), 1)
    else:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string
            elif token.type == tokenize.NAME:
                yield token.start[0], as_words(token.string)
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                yield from enumerate(node.value.value.splitlines(), node.lineno)


def as_words(name: str) -> str:
    """Returns `give_back` and `giveBack` as "give back"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()


def unusual(path: str) -> Iterator[str]:
    words = WORDS_FOR_PEOPLE if path.endswith(FOR_PEOPLE) else WORDS
    for number, text in said(path):
        for found in words.findall(text):
            word = re.sub("[ _-]", " ", found.lower())
            if not any(path.startswith(place) and word.startswith(allowed) for place, allowed in ALLOWED):
                yield f"{path}:{number}: {found!r} in {text.strip()[:80]!r}"


@pytest.mark.parametrize("patterns", [PYTHON, OTHERS, FOR_PEOPLE], ids=["python", "others", "for people"])
def test_no_former_name_and_no_metaphor_is_left(patterns: tuple[str, ...]) -> None:
    found = [line for path in files(*patterns) for line in unusual(path)]
    assert not found, "\n".join(found)


def test_every_allowed_use_exists() -> None:
    for path, word in ALLOWED:
        assert any(word in text.lower() for _, text in said(path)), (path, word)


@pytest.mark.parametrize(
    "text",
    [
        "class Sentinel: ...",
        "# rings the bell",
        "def give_back(): ...",
        "class SelfTest: ...",
        '"""Wears it."""',
    ],
)
def test_the_words_are_found(text: str, tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(text, encoding="utf-8")
    assert list(unusual(str(tmp_path / "example.py")))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("CHANGELOG.md", "- Rings the bell."),
        ("CHANGELOG.md", "- Shared with everybody."),
        ("locale/de/LC_MESSAGES/django.po", 'msgid ""\n"The chat has "\n"gone on."\nmsgstr ""\n'),
    ],
)
def test_the_words_are_found_in_what_people_read(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    assert list(unusual(str(path)))


def test_a_translation_is_not_read_as_english(tmp_path: Path) -> None:
    path = tmp_path / "locale/de/LC_MESSAGES/django.po"
    path.parent.mkdir(parents=True)
    path.write_text('msgid "Kind"\nmsgstr "Die Art"\n\nmsgid "Hi"\nmsgstr "Hint"\n', encoding="utf-8")
    assert not list(unusual(str(path)))


def test_data_and_ordinary_words_are_not_found(tmp_path: Path) -> None:
    text = 'name = "the bell in the house"  # housekeeping learned of bellows\nstanding = hinterland'
    (tmp_path / "example.py").write_text(text, encoding="utf-8")
    assert not list(unusual(str(tmp_path / "example.py")))
