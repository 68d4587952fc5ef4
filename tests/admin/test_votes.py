"""Which of two models wins: counted from ratings of replies to the same prompt."""

from __future__ import annotations

import pytest
from django.test import Client

from chat.actions.comparison import keep_reply
from chat.actions.feedback import rate_reply
from chat.actions.variant import show_variant
from chat.admin.votes import Pair, pairs_of_models
from chat.models import ChatModel, Endpoint, Feedback, Generation, Status, User
from tests.actions.test_comparison import ask, models  # noqa: F401  (a fixture)

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_kept_and_the_better_rated_reply_win(person: User, models: list, client: Client) -> None:  # type: ignore[type-arg]  # noqa: F811
    assert pairs_of_models() == []
    for _ in range(2):
        _, _, second, _ = ask(person, models[:3])
        keep_reply(person, second.pk)
    _, first, _ = ask(person, models[:2])
    keep_reply(person, first.pk)
    _, bad, _ = ask(person, models[:2])
    rate_reply(person, bad.pk, is_good=False)
    ask(person, models[:2])  # no vote
    assert pairs_of_models() == [Pair("model-1", 3, "model-0", 1), Pair("model-1", 2, "model-2", 0)]
    client.force_login(User.objects.create_superuser("root@example.org", "correct horse"))
    page = client.get("/admin/").content.decode()
    assert "3 (75 %)" in page
    assert "Models compared" in page and "model-2" in page
    Feedback.objects.all().delete()
    assert "Models compared" not in client.get("/admin/").content.decode()


def test_only_complete_replies_and_the_newest_choice_count(person: User, models: list) -> None:  # type: ignore[type-arg]  # noqa: F811
    _, first, failed, stopped = ask(person, models[:3])
    Generation.objects.filter(message=failed).update(status=Status.FAILED)
    Generation.objects.filter(message=stopped).update(status=Status.STOPPED)
    keep_reply(person, first.pk)
    assert pairs_of_models() == [], "they had no chance"
    _, first, second = ask(person, models[:2])
    keep_reply(person, first.pk)
    assert pairs_of_models() == [Pair("model-0", 1, "model-1", 0)]
    show_variant(person, first.pk, second.pk)
    rate_reply(person, second.pk, is_good=True)
    assert pairs_of_models() == [Pair("model-1", 1, "model-0", 0)]


def test_models_of_one_name_are_told_apart(person: User, models: list) -> None:  # type: ignore[type-arg]  # noqa: F811
    _, _, second = ask(person, models[:2])
    keep_reply(person, second.pk)
    other = Endpoint.objects.create(slug="other", name="Other")
    ChatModel.objects.filter(pk=models[1].pk).update(endpoint=other, name="model-0")
    assert pairs_of_models() == [Pair("model-0 (Other)", 1, "model-0 (Demo)", 0)]
