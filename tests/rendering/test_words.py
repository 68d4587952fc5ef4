"""Two languages: everything that is said to people is in the catalog, and the catalog is whole."""

from __future__ import annotations

import ast
import gettext
import re
from pathlib import Path

import pytest
from django.utils.translation import override, trans_real

from chat.actions.errors import TooLongError
from chat.providers.errors import ProviderError
from chat.rendering.words import KNOWN, in_words, seconds

ROOT = Path(__file__).resolve().parents[2]
CATALOG = ROOT / "locale/de/LC_MESSAGES/django"
RAISED = re.compile(r"Error$")


def raised_sentences(path: Path) -> set[str]:
    """The texts that a module gives to the errors it raises, if they are plain texts."""
    return {
        argument.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and RAISED.search(ast.unparse(node.func))
        for argument in node.args[:1]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


def entries() -> dict[str, str]:
    """The German catalog's texts by the English ones, without those of a context."""
    text = CATALOG.with_suffix(".po").read_text(encoding="utf-8")
    pairs = re.findall(r'^(msgctxt .*\n)?msgid ((?:".*"\n)+)msgstr ((?:".*"\n?)+)', text, re.MULTILINE)
    return {_joined(source): _joined(translation) for context, source, translation in pairs if not context}


def _joined(lines: str) -> str:
    return "".join(ast.literal_eval(line) for line in lines.split("\n") if line)


def test_every_refusal_can_be_said_in_both_languages() -> None:
    said: set[str] = set()
    rooms = [ROOT / "chat" / room for room in ("actions", "transports", "views")]
    modules = [path for room in rooms for path in room.glob("*.py")]
    for path in [ROOT / "chat/access.py", ROOT / "chat/generation/context.py", *modules]:
        said |= raised_sentences(path)
    assert len(said) > 10
    assert {sentence for sentence in said if " " in sentence} <= set(KNOWN)


def test_no_refusal_is_put_together_before_it_is_translated() -> None:
    made = [
        (path.name, ast.unparse(node))
        for path in (ROOT / "chat").rglob("*.py")
        if not {"providers", "management", "pipeline", "checks.py"} & set(path.parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and RAISED.search(ast.unparse(node.func))
        if any(isinstance(argument, ast.JoinedStr) for argument in node.args[:1])
    ]
    assert [call for _, call in made if not call.startswith("ImproperlyConfigured")] == []  # for a terminal


def test_every_failure_of_a_provider_can_be_said_in_both_languages() -> None:
    def errors(base: type[ProviderError]) -> list[type[ProviderError]]:
        return [base, *(error for child in base.__subclasses__() for error in errors(child))]

    words = {error.words for error in errors(ProviderError)}
    assert len(words) > 10
    assert words <= set(KNOWN)


def test_the_german_catalog_leaves_nothing_out() -> None:
    translations = entries()
    assert [source for source, translation in translations.items() if not translation] == []
    assert set(KNOWN) <= set(translations)


def test_every_text_of_the_templates_is_in_the_catalog() -> None:
    known = known_in_german()
    missing = [
        (path.name, text)
        for path in (ROOT / "templates").rglob("*.html")
        for text in template_texts(path.read_text(encoding="utf-8"))
        if text not in known
    ]
    assert missing == []


def known_in_german() -> set[str]:
    """Our own texts, and those of Django and its apps that we use as they are."""
    keys = trans_real.translation("de")._catalog.keys()
    return {key if isinstance(key, str) else key[0] for key in keys}


def template_texts(source: str) -> list[str]:
    blocks = re.findall(r"{% blocktranslate.*?%}(.*?){% endblocktranslate %}", source, re.DOTALL)
    return [
        *re.findall(r"{% translate [\"'](.+?)[\"'](?: context \"\w+\")?(?: as \w+)? %}", source),
        *(re.sub(r"{{ (\w+) }}", r"%(\1)s", block) for block in blocks),
    ]


def test_every_text_of_the_code_is_in_the_catalog() -> None:
    known = known_in_german()
    missing = [
        (path.name, argument.value)
        for path in (ROOT / "chat").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"_", "gettext", "ngettext"}
        for argument in node.args[:1]
        if isinstance(argument, ast.Constant) and argument.value not in known
    ]
    assert missing == []


def test_the_compiled_catalog_is_the_written_one() -> None:
    with CATALOG.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    assert {source: compiled.gettext(source) for source in entries()} == entries()


def test_words_with_values_are_translated_before_they_are_filled() -> None:
    error = TooLongError("The title may have at most {limit} characters.", limit=200)
    assert in_words(error) == "The title may have at most 200 characters."
    with override("de"):
        assert in_words(error) == "Der Titel darf höchstens 200 Zeichen haben."


def test_a_refusal_writes_numbers_as_the_language_does() -> None:
    words = "The message has {length:,} characters; the limit is {limit:,}. Shorten it or send it in parts."
    error = TooLongError(words, length=200_001, limit=200_000)
    assert in_words(error) == str(error)
    with override("de"):
        assert "200.001 Zeichen, erlaubt sind 200.000." in in_words(error)


@pytest.mark.parametrize(
    ("language", "words"), [("en", "0.8 s, 12 s, 3 min 5 s"), ("de", "0,8 s, 12 s, 3 min 5 s")]
)
def test_a_duration_is_written_as_the_language_writes_numbers(language: str, words: str) -> None:
    with override(language):
        written = ", ".join(map(seconds, (0.84, 12.2, 185)))
    assert written.replace("\N{NO-BREAK SPACE}", " ") == words
