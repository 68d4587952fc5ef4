"""Values for scripts, style sheets, forms and addresses are the same in every language: no thousands
separator, no decimal comma."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.template import Context, Template
from django.template.base import Lexer, TokenType
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override
from pytest_django.fixtures import Settings

from chat.actions.send import send_message
from chat.models import ChatModel, Endpoint, Generation, Message, Status, User
from chat.rendering import fragments
from tests.servers import ROOT

FOR_PEOPLE = {"aria-label", "title", "alt", "placeholder", "label", "content"}
NUMBER = 1234567.5
ATTRIBUTE = re.compile(r"""([\w:-]+)=(?:"([^"]*)"|'([^']*)')""")
LOCALISED = re.compile(r"\d[.\s]\d{3}(?!\d)|\d,\d")

# What these hold is text, an address or a UUID: it has no form of its own in German. A number goes through
# `unlocalize` instead of being listed here.
# fmt: off
TEXTS = {
    "new_id", "source.url", "card.url",
    "choice.id_for_label", "operation.id", "running.pk", "secret", "series.css", "token.name",
    "LANGUAGE_CODE", "attrs.form", "attrs.href", "attrs.id", "attrs.name", "attrs.type", "attrs.value",
    "cl.query", "client_id", "conversation.pk", "conversation.title", "csrf_token",
    "feedback_id", "field.auto_id", "field.id_for_label", "field.widget_type", "form.email.id_for_label",
    "form.email.value", "form.login.id_for_label", "form.login.value", "form.password.id_for_label",
    "chat.conversation.pk", "hidden_message.pk", "hit.message_id", "opened_at", "part", "query",
    "after_part", "beside", "more",
    "generation.status", "kind", "link", "menu_id", "message.level_tag", "search_var", "message.pk",
    "message.role", "message.client_id", "request.get_full_path",
    "name", "model.name", "model.endpoint", "one.state", "tool.name", "card.state", "other.pk", "other",
    "edited.pk", "file.id", "effort", "box", "allowed.efforts",
    "chosen", "listed_part", "model.audio_types", "takes_audio", "folder.pk", "tag.name", "tag.query",
    "section.key", "entry.key", "entry.press", "entry.focus", "entry.theme", "entry.search", "entry.url",
    "person.email", "version.preset_id", "choice.prompt.pk", "choice.prompt.text", "choice.variables",
    "group.folder.pk", "file.state", "file.audio_type",
    "newer.pk", "url", "field", "prompt",
    "preferences.announcements", "preferences.density", "preferences.send_key", "preferences.streaming",
    "preferences.text_size", "preferences.theme", "stamp", "state",
    "request.path", "sees", "share.link", "shown.fingerprint", "thinks_first", "token", "undo", "value",
}
# fmt: on


class _Attributes(HTMLParser):
    """Collects (name, value) of all attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(name, value or "") for name, value in attrs]


def attributes_of(html: str) -> list[tuple[str, str]]:
    parser = _Attributes()
    parser.feed(html)
    return [(name, value) for name, value in parser.found if name not in FOR_PEOPLE]


def variables_in_attributes(path: Path) -> Iterator[str]:
    """Returns the expressions of `{{ }}` inside of attributes that no person reads."""
    expressions: list[str] = []
    html = ""  # without block tags: an attribute may stand in a block, outside of any element
    is_localised = True
    for token in Lexer(path.read_text(encoding="utf-8")).tokenize():
        if token.token_type == TokenType.BLOCK and token.contents in {"localize off", "endlocalize"}:
            is_localised = token.contents == "endlocalize"
        elif not is_localised:
            continue
        elif token.token_type == TokenType.TEXT:
            html += token.contents
        elif token.token_type == TokenType.VAR:
            html += f"\x01{len(expressions)}\x01"
            expressions.append(token.contents)
    for name, double, single in ATTRIBUTE.findall(html):
        if name not in FOR_PEOPLE:
            yield from (expressions[int(number)] for number in re.findall("\x01(\\d+)\x01", double + single))


@cache
def written_in_german(filters: str) -> str:
    """Returns what a template writes for `{{ it|filters }}` with a large number."""
    with override("de"):
        return Template(f"{{% load chat l10n %}}{{{{ it{filters} }}}}").render(Context({"it": NUMBER}))


def test_no_template_writes_a_localised_number_where_a_machine_reads_it(settings: Settings) -> None:
    settings.USE_THOUSAND_SEPARATOR = True
    found = 0
    localised = []
    for path in sorted((ROOT / "templates").rglob("*.html")):
        for expression in variables_in_attributes(path):
            found += 1
            variable, bar, filters = expression.partition("|")
            if variable in TEXTS or variable.endswith("_url") or filters.startswith("date:"):
                continue
            if LOCALISED.search(written := written_in_german(bar + filters)):
                localised.append(f"{path.name}: {expression}: a number would become {written}")
    assert localised == []
    assert found > 100


@pytest.mark.django_db
def test_the_pages_of_a_german_with_large_numbers_hold_none_that_is_localised(
    client: Client, make_user: Callable[..., User], settings: Settings
) -> None:
    settings.USE_THOUSAND_SEPARATOR = True
    settings.LANGUAGE_CODE = "de"
    person = make_user("ada@example.org", pk=1_234_567, is_staff=True, is_superuser=True)
    provider = Endpoint.objects.create(slug="demo", name="Demo")
    model = ChatModel.objects.create(
        pk=7_654_321, endpoint=provider, name="demo", context_window=128_000, input_price="1250.5"
    )
    sent = send_message(person, uuid.uuid4(), client_id=uuid.uuid4(), text="Words", model_ids=[model.pk])
    running = sent.message.children.get()
    Generation.objects.update(status=Status.RUNNING, started_at=timezone.now())
    client.force_login(person)
    client.cookies["django_language"] = "de"
    conversation = sent.message.conversation
    type(conversation).objects.update(revision=1_234_567)
    pages = [reverse(name) for name in ("conversations", "settings", "connection_check")]
    pages += [reverse("conversation", args=[conversation.pk]), reverse("conversations") + "?limit=1000"]
    htmls = {url: client.get(url).content.decode() for url in pages}
    with override("de"):
        htmls["fragment"] = fragments.message(Message.objects.get(pk=running.pk))
        htmls["revision"] = fragments.revision(1_234_567)
    assert "Antwortet" in htmls["fragment"]
    wrong = [
        (url, name, value)
        for url, html in htmls.items()
        for name, value in attributes_of(html)
        if LOCALISED.search(value) and name not in {"d", "viewbox", "class"}
    ]
    assert wrong == []
