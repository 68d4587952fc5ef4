"""Languages: everything that is said to people is in the catalog, and the catalog is whole."""

from __future__ import annotations

import ast
import gettext
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.utils.translation import override, trans_real

from chat.actions.errors import TooLongError
from chat.providers.errors import ContextLengthError
from chat.rendering.words import in_words, seconds, translated

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = pytest.mark.parametrize("language", [code for code, _ in settings.LANGUAGES if code != "en"])
SENTENCE = re.compile(r"[A-Z{].* .*[.!?]", re.DOTALL)
MARKERS = {"_", "gettext", "gettext_noop", "ngettext"}
# What is written here in sentences, and is not for people: a model's text, and the log and operators.
NOT_FOR_PEOPLE = {"providers/demo.py", "generation/readiness.py", "generation/chat_search.py"}
NAMES_NOT_FOR_PEOPLE = {
    "detail",
    "remark",
    "CONTINUE_PROMPT",
    "DATA_NOTE",
    "FILES_NOTE",
    "NO_RESULT",
    "SUMMARY",
    "SUMMARY_INSTRUCTIONS",
    "TITLE_INSTRUCTIONS",
}


def unmarked(source: str) -> list[str]:
    """The sentences of a module without a marker, other than docstrings, log lines and details of errors."""
    tree = ast.parse(source)
    passed: set[int] = set()
    for node in ast.walk(tree):
        apart: list[ast.AST] = []
        match node:
            case ast.Expr(ast.Constant()):
                apart = [node]
            case ast.Call():
                name = ast.unparse(node.func)
                if name in MARKERS or name.startswith("logger.") or name.endswith("remarks.append"):
                    apart = [*node.args]
                apart += [it.value for it in node.keywords if it.arg in NAMES_NOT_FOR_PEOPLE]
            case ast.Assign(targets=[ast.Name(name)]) if name in NAMES_NOT_FOR_PEOPLE:
                apart = [node]
        passed |= {id(inner) for outer in apart for inner in ast.walk(outer)}
    return [
        text for node in ast.walk(tree) if id(node) not in passed and SENTENCE.fullmatch(text := _text(node))
    ]


def _text(node: ast.AST) -> str:
    match node:
        case ast.Constant(str(text)):
            return text
        case ast.JoinedStr():
            return "".join(_text(part) or "{}" for part in node.values)
    return ""


def catalog(language: str) -> Path:
    return ROOT / "locale" / language / "LC_MESSAGES" / "django.po"


def entries(language: str) -> dict[str, str]:
    """The catalog's texts by the English ones, without those of a context."""
    text = catalog(language).read_text(encoding="utf-8")
    pairs = re.findall(r'^(msgctxt .*\n)?msgid ((?:".*"\n)+)msgstr ((?:".*"\n?)+)', text, re.MULTILINE)
    return {_joined(source): _joined(translation) for context, source, translation in pairs if not context}


def _joined(lines: str) -> str:
    return "".join(ast.literal_eval(line) for line in lines.split("\n") if line)


@pytest.mark.parametrize("package", ["providers", "pipeline", "generation", "actions", "access.py"])
def test_every_sentence_for_people_is_marked_where_it_is_written(package: str) -> None:
    path = ROOT / "chat" / package
    modules = [path] if path.suffix else sorted(path.rglob("*.py"))
    found = [
        (module.name, sentence)
        for module in modules
        if module.relative_to(ROOT / "chat").as_posix() not in NOT_FOR_PEOPLE
        for sentence in unmarked(module.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize("package", ["transports", "views"])
def test_every_refusal_is_marked_where_it_is_written(package: str) -> None:
    found = [
        (module.name, argument.value)
        for module in (ROOT / "chat" / package).rglob("*.py")
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Error")
        for argument in node.args[:1]
        if isinstance(argument, ast.Constant)
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        'raise ConflictError("It is too late.")',
        'raise ConflictError(f"It is {hour} o\'clock.")',
        'class LateError(ProviderError):\n    words = "It is too late."',
        'LATE = {"late": "It is too late."}',
        'error = "It is too late." if late else ""',
    ],
)
def test_an_unmarked_sentence_is_found(source: str) -> None:
    assert unmarked(source)
    assert not unmarked(source.replace('"It', '_("It').replace('."', '.")').replace("f_(", "_(f"))


def test_a_stored_sentence_is_translated_and_an_unknown_one_shown_as_it_is() -> None:
    with override("de"):
        assert translated(ContextLengthError.words) != ContextLengthError.words
        assert translated("An older version said this.") == "An older version said this."
        assert translated("") == ""


@LANGUAGES
def test_what_an_earlier_version_stored_is_still_translated(language: str) -> None:
    stored = "The model ended its answer without a word. Retry, or choose another model."
    with override(language):
        assert translated(stored) != stored


def test_no_refusal_is_put_together_before_it_is_translated() -> None:
    made = [
        (path.name, ast.unparse(node))
        for path in (ROOT / "chat").rglob("*.py")
        if not {"providers", "tools", "management", "pipeline", "checks.py"} & set(path.parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Error")
        if any(isinstance(argument, ast.JoinedStr) for argument in node.args[:1])
    ]
    assert [call for _, call in made if not call.startswith("ImproperlyConfigured")] == []  # for a terminal


@LANGUAGES
def test_a_catalog_leaves_nothing_out(language: str) -> None:
    assert [source for source, translation in entries(language).items() if not translation] == []


def test_the_german_texts_address_people_formally() -> None:
    informal = re.compile(
        r"\b([Dd]u|[Dd]ein(e[mnrs]?)?|[Dd]ir|[Dd]ich|Versuch es|"
        r"(Gib|Kopiere|Lade|Prüfe|Schreibe|Verwende|Wähle)(?!n))\b"
    )
    text = catalog("de").read_text(encoding="utf-8")
    assert [
        line for line in text.splitlines() if line.startswith(("msgstr", '"')) and informal.search(line)
    ] == []


@LANGUAGES
def test_every_text_of_the_templates_is_in_the_catalog(language: str) -> None:
    known = known_in(language)
    missing = [
        (path.name, text)
        for path in (ROOT / "templates").rglob("*.html")
        for text in template_texts(path.read_text(encoding="utf-8"))
        if text not in known
    ]
    assert missing == []


def known_in(language: str) -> set[str]:
    """Our own texts, and those of Django and its apps that we use as they are."""
    keys = trans_real.translation(language)._catalog.keys()
    return {key if isinstance(key, str) else key[0] for key in keys}


def template_texts(source: str) -> list[str]:
    found = re.findall(r"{% blocktranslate(.*?)%}(.*?){% endblocktranslate %}", source, re.DOTALL)
    singular = [(options.split(), text.split("{% plural %}")[0]) for options, text in found]
    blocks = [" ".join(text.split()) if "trimmed" in options else text for options, text in singular]
    return [
        *re.findall(r"{% translate [\"'](.+?)[\"'](?: context \"\w+\")?(?: as \w+)? %}", source),
        *(re.sub(r"{{ (\w+) }}", r"%(\1)s", block) for block in blocks),
    ]


@LANGUAGES
def test_every_text_of_the_code_is_in_the_catalog(language: str) -> None:
    known = known_in(language)
    missing = [
        (path.name, argument.value)
        for path in (ROOT / "chat").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in MARKERS
        for argument in node.args[:1]
        if isinstance(argument, ast.Constant) and argument.value not in known
    ]
    assert missing == []


@LANGUAGES
def test_the_compiled_catalog_is_the_written_one(language: str) -> None:
    with catalog(language).with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    written = entries(language)
    assert {source: compiled.gettext(source) for source in written} == written


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


# What German says instead: one word for one thing, the usual one, and a formal address.
GERMAN_INSTEAD = {
    "Gedanken": "Überlegungen",
    "Nachdenken": "Überlegungen",
    "Kopfzeilen?": "Header",
    "Links? zum Teilen": "Freigabelink",
    "abgeschaltet": "ausgeschaltet",
    "anlegen": "erstellen",
    "angelegt": "erstellt",
    r"[Dd](?:u|ein\w*|ir|ich)": "Sie, Ihr, Ihnen",
    "Beginne": "Beginnen Sie",
}


def test_german_has_one_word_for_one_thing() -> None:
    words = re.compile(rf"\b(?:{'|'.join(GERMAN_INSTEAD)})\b")
    assert words.search("Werkzeuge und Gedanken") and words.search("Beginne mit der ersten Seite.")
    found = {text: words.findall(text) for text in entries("de").values() if words.search(text)}
    assert not found
