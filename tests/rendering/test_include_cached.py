"""What is the same below each message is rendered once, and equals what its template renders."""

from __future__ import annotations

import pytest
from django.template import engines
from django.utils.translation import override

from chat.models import Conversation, Generation, Message, Role, Status, User

TEMPLATES = ("_message_actions", "_retry", "_feedback")


def _message(status: str) -> Message:
    chat = Conversation(owner=User(pk=1), title="Hello")
    message = Message(conversation=chat, role=Role.ASSISTANT if status else Role.USER)
    if status:
        message.generation = Generation(conversation=chat, message=message, status=status)
    return message


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("status", ["", *Status.values])
def test_it_is_what_the_template_renders(name: str, status: str) -> None:
    engine = engines["django"]
    once = engine.from_string('{% load chat %}{% include_cached "chat/' + name + '.html" %}')
    whole = engine.from_string('{% include "chat/' + name + '.html" %}')
    for language in ("en", "de"):
        for token in ({}, {"csrf_token": "first"}, {"csrf_token": "second"}):
            message = _message(status)
            context = {"message": message, "generation": message.reply, **token}
            with override(language):
                html = once.render(context)
                assert html == whole.render(context)
            assert str(message.pk) in html
            assert list(token.values()) == [it for it in ("first", "second") if f'value="{it}"' in html]
