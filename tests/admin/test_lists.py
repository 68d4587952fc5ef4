"""The lists of the administration: each field has a name, and the models fit on the page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chat.models import ChatModel, Conversation, Endpoint, User

pytestmark = pytest.mark.django_db


class _Fields(HTMLParser):
    """Collects the form fields, and the ids that a `<label>` names."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: list[dict[str, str | None]] = []
        self.labelled: set[str | None] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "label":
            self.labelled.add(found.get("for"))
        elif tag in {"input", "select", "textarea"} and found.get("type") not in {"hidden", "submit"}:
            self.fields.append(found)


@pytest.mark.parametrize("name", ["chatmodel", "endpoint"])
def test_each_field_of_a_list_says_what_it_is_and_of_what(
    administrator: User, client: Client, name: str
) -> None:
    provider = Endpoint.objects.create(slug="own", name="Own server")
    for number in range(3):
        ChatModel.objects.create(endpoint=provider, name=f"model-{number}")
    client.force_login(administrator)
    html = client.get(reverse(f"admin:chat_{name}_changelist")).content.decode()
    page = _Fields()
    page.feed(html)
    nameless = [
        field.get("name")
        for field in page.fields
        if not field.get("aria-label") and field.get("id") not in page.labelled
    ]
    assert nameless == []
    labels = [field["aria-label"] for field in page.fields if "form-" in (field.get("name") or "")]
    assert len(labels) == len(set(labels)) > 0
    assert ("Input price: model-1" in labels) == (name == "chatmodel")


def test_the_list_of_models_has_the_columns_that_fit(administrator: User, client: Client) -> None:
    provider = Endpoint.objects.create(slug="own", name="Own server")
    ChatModel.objects.create(endpoint=provider, name="old", available=False)
    client.force_login(administrator)
    html = client.get(reverse("admin:chat_chatmodel_changelist")).content.decode()
    assert len(re.findall(r'class="[^"]*column-(?!action)\w+', html)) == 5
    assert "Own server · not listed any more" in html


def test_the_list_of_conversations_marks_those_that_their_owner_deleted(
    administrator: User, client: Client
) -> None:
    Conversation.objects.create(owner=administrator, title="Kept", last_position=2)
    gone = Conversation.objects.create(owner=administrator, title="Gone", last_position=2)
    Conversation.objects.filter(pk=gone.pk).update(deleted_at=timezone.now())
    client.force_login(administrator)
    html = client.get(reverse("admin:chat_conversation_changelist")).content.decode()
    assert html.count("deleted by its owner</small>") == 1
    assert 'Gone <small class="about">' in html
