"""Conversations for the tests of the administration."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from chat.models import ChatModel, Conversation, Endpoint, Generation, Message, Role, Status, User
from chat.parts import Opaque, ReasoningPart, stored
from chat.search.catch_up import catch_up


@pytest.fixture
def model(db: None) -> ChatModel:
    provider = Endpoint.objects.create(slug="demo", name="Demo")
    return ChatModel.objects.create(endpoint=provider, name="demo", display_name="Demo model")


@pytest.fixture
def make_conversation(model: ChatModel) -> Callable[..., Conversation]:
    """A conversation of one prompt and one finished reply."""

    def make(
        owner: User,
        *,
        title: str = "",
        prompt: str = "Hello",
        reply: str = "Hi",
        status: str = Status.COMPLETE,
    ) -> Conversation:
        conversation = Conversation.objects.create(owner=owner, title=title, last_position=2)
        asked = Message.objects.create(
            conversation=conversation,
            position=1,
            role=Role.USER,
            text=prompt,
            parts=[{"type": "text", "text": prompt}],
            revision=1,
            added_revision=1,
        )
        answered = Message.objects.create(
            conversation=conversation,
            position=2,
            parent=asked,
            role=Role.ASSISTANT,
            text=reply,
            parts=stored([ReasoningPart("hmm"), Opaque("k", {"signature": "x"})]),
            revision=1,
            added_revision=1,
        )
        now = timezone.now()
        Generation.objects.create(
            conversation=conversation,
            message=answered,
            model=model,
            model_label="Demo model",
            status=status,
            queued_at=now,
            started_at=now + timedelta(seconds=0.25),
            first_token_at=now + timedelta(seconds=0.75),
            finished_at=now + timedelta(seconds=2.75),
            input_tokens=7,
            output_tokens=100,
        )
        catch_up()
        catch_up()
        return conversation

    return make
