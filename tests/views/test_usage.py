"""The page of one's own usage: each reply and call counts once, in its month, for its user alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from chat.models import Generation, UsageEntry, User
from chat.views.usage import months_of
from tests.generation.rows import a_reply

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


def used(user: User, at: datetime, **values: object) -> Generation:
    reply = a_reply(user)
    fields = {"input_tokens": 10, "output_tokens": 5, "cost": Decimal("0.25"), "model_label": "Large"}
    Generation.objects.filter(pk=reply.pk).update(finished_at=at, **(fields | values))
    return reply


def test_replies_and_calls_are_summed_by_month_and_model(
    person: User, make_user: Callable[..., User]
) -> None:
    kept = used(person, NOW)
    used(person, NOW, model_label="Small", cost=None)
    used(person, datetime(2026, 2, 28, 23, tzinfo=UTC))
    used(person, datetime(2025, 3, 31, tzinfo=UTC))  # more than twelve months ago
    used(make_user("other@example.org"), NOW, cached_input_tokens=6)
    Generation.objects.filter(pk=kept.pk).update(cached_input_tokens=8)
    call = {"model_label": "Large", "api": "messages", "status": "complete", "at": NOW, "input_tokens": 7}
    UsageEntry.objects.create(user=person, **call)
    UsageEntry.objects.create(user=person, generation=kept, **call)  # the same usage as the reply
    months = months_of(person, NOW)
    assert [month.start.month for month in months] == [4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 2, 3]
    march, february = months[-1], months[-2]
    assert (march.total.calls, march.total.input_tokens, march.total.cost) == (3, 27, 0.25)
    assert march.total.cached_tokens == 8
    assert dict(march.rows)["Large"] == ["2", "17", "8", "5", "$0.25"]
    assert [label for label, _ in march.rows] == ["Large", "Small"]
    assert (february.total.calls, sum(month.total.calls for month in months)) == (1, 4)


def test_the_page_draws_a_plot_and_says_the_same_in_tables(client: Client, person: User) -> None:
    client.force_login(person)
    empty = client.get(reverse("usage")).content.decode()
    assert "Nothing was used yet." in empty
    assert "<svg" not in empty.partition("<h1>")[2]
    used(person, datetime.now(UTC), model_label="<b>Large</b>")
    page = client.get(reverse("usage")).content.decode()
    assert "&lt;b&gt;Large&lt;/b&gt;" in page
    assert page.count('class="plot"') == 2
    assert "$0.25" in page
