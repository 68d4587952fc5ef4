"""Which of two models wins: counted from ratings of replies to the same prompt."""

from __future__ import annotations

import pytest
from django.test import Client

from chat.actions.comparison import keep_reply
from chat.actions.feedback import judge_reply
from chat.admin.votes import Pair, pairs_of_models
from chat.models import Feedback, User
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
    judge_reply(person, bad.pk, is_good=False)
    ask(person, models[:2])  # no vote
    assert pairs_of_models() == [Pair("model-1", 3, "model-0", 1), Pair("model-1", 2, "model-2", 0)]
    client.force_login(User.objects.create_superuser("root@example.org", "correct horse"))
    page = client.get("/admin/").content.decode()
    assert "Models compared" in page and "model-2" in page
    Feedback.objects.all().delete()
    assert "Models compared" not in client.get("/admin/").content.decode()
