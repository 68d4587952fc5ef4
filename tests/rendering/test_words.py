"""Two languages: everything that is said to people is in the catalog, and the catalog is whole."""

from __future__ import annotations

import ast
import gettext
import re
from pathlib import Path

from django.utils.translation import override

from chat.actions.errors import TooLongError
from chat.providers.errors import ProviderError
from chat.rendering.words import KNOWN, in_words

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
    """The German catalog's texts by the English ones."""
    text = CATALOG.with_suffix(".po").read_text(encoding="utf-8")
    pairs = re.findall(r'^msgid ((?:".*"\n)+)msgstr ((?:".*"\n?)+)', text, re.MULTILINE)
    return {_joined(source): _joined(translation) for source, translation in pairs}


def _joined(lines: str) -> str:
    return "".join(ast.literal_eval(line) for line in lines.split("\n") if line)


def test_every_refusal_of_an_action_can_be_said_in_both_languages() -> None:
    said: set[str] = set()
    for path in [ROOT / "chat/access.py", *(ROOT / "chat/actions").glob("*.py")]:
        said |= raised_sentences(path)
    assert len(said) > 10
    assert said <= set(KNOWN)


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
    known = set(entries())
    missing = [
        (path.name, text)
        for path in (ROOT / "templates").rglob("*.html")
        if "admin" not in path.parts
        for text in re.findall(r"{% translate [\"'](.+?)[\"'] %}", path.read_text(encoding="utf-8"))
        if text not in known
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
