"""The last 24 hours on the start page: what is counted, how it is drawn, and who may see it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from xml.etree import ElementTree

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone, translation
from pytest_django import DjangoAssertNumQueries

from chat.admin.day import HOURS, Ended, day_of, last_day, percentile
from chat.admin.day_plots import plots_of
from chat.models import Generation, Status, TranscriptRead, UsageEntry, User
from chat.rendering.plots import HEIGHT, WIDTH, count_words, dollars, rounded_up
from tests.generation.rows import a_reply

NOW = datetime(2026, 3, 1, 15, 20, tzinfo=UTC)


def ended(hours_ago: float, status: str = "complete", seconds: float | None = 1.0, tokens: int = 10) -> Ended:
    code = {"failed": "timeout", "interrupted": "server_stopped"}.get(status, "")
    return Ended(NOW - timedelta(hours=hours_ago), status, code, seconds, 3 * tokens, tokens, tokens / 100)


def test_each_reply_is_in_its_hour_of_the_clock() -> None:
    day = day_of(iter([ended(0), ended(0.3), ended(0.4), ended(1.4), ended(23), ended(23.4), ended(40)]), NOW)
    assert [hour.start.hour for hour in day.hours] == [*range(16, 24), *range(16)]
    counts = [hour.outcomes.total() for hour in day.hours]
    assert (counts[-1], counts[-2], counts[-3], counts[0]) == (2, 1, 1, 1)
    assert day.count == 5  # two are older than the first hour
    assert (day.input_tokens, day.output_tokens, round(day.cost, 2)) == (150, 50, 0.5)


def test_failures_are_counted_by_their_error() -> None:
    replies = [
        ended(1, "failed"),
        ended(2, "failed"),
        ended(3, "interrupted"),
        ended(4, "stopped"),
        ended(5, "length"),
    ]
    day = day_of(iter(replies), NOW)
    assert day.outcomes == {"failed": 2, "interrupted": 1, "stopped": 1, "complete": 1}
    assert day.errors == {"timeout": 2, "server_stopped": 1}


def test_percentiles() -> None:
    assert percentile([], 0.5) is None
    assert percentile([7], 0.95) == 7
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(list(range(1, 101)), 0.95) == 95


@pytest.mark.parametrize(
    ("value", "top"),
    [(0, 1), (0.03, 0.05), (1, 1), (3, 5), (7, 10), (10, 10), (11, 20), (999_999, 1_000_000), (3.2e9, 5e9)],
)
def test_the_axis_ends_at_a_round_number(value: float, top: float) -> None:
    assert rounded_up(value) == pytest.approx(top)


def test_numbers_are_short_in_both_languages() -> None:
    assert [count_words(value) for value in (0, 9_999, 12_345, 999_499, 1_000_000, 3_440_000)] == [
        *("0", "9,999", "12k", "999k", "1M", "3.4M"),
    ]
    assert [dollars(value) for value in (0, 0.0123, 3.456, 1234.5)] == [
        "$0.00",
        "$0.0123",
        "$3.46",
        "$1,234.50",
    ]
    with translation.override("de"):
        assert count_words(3_440_000) == "3,4\N{NO-BREAK SPACE}Mio."
        assert dollars(3.456) == "3,46\N{NO-BREAK SPACE}$"


def test_every_mark_is_inside_of_its_plot_also_beside_a_spike() -> None:
    replies = [
        ended(hours, status, hours) for hours in range(HOURS) for status in ("complete", "failed", "stopped")
    ]
    day = day_of(iter([*replies, ended(3, tokens=1_000_000, seconds=3_000.0)]), NOW)
    for plot in plots_of(day):
        for bar in (bar for _, _, bars in plot.columns for bar in bars):
            assert 0 <= bar.x <= bar.x + bar.width <= WIDTH, plot.name
            assert 0 <= bar.y < bar.y + bar.height <= HEIGHT, plot.name
            assert bar.height > 1, plot.name  # a few tokens beside a million
        for x, y in (dot for line in plot.lines for dot in line.dots):
            assert 0 <= x <= WIDTH and 0 <= y <= HEIGHT, plot.name


def test_a_line_is_interrupted_where_there_is_no_reply() -> None:
    day = day_of(iter([ended(1), ended(2), ended(5, seconds=None), ended(8)]), NOW)
    (plot,) = (plot for plot in plots_of(day) if plot.is_lines)
    assert [len(line.dots) for line in plot.lines] == [3, 3]
    assert [line.path.count("M") for line in plot.lines] == [2, 2]


@pytest.fixture
def replies(administrator: User) -> None:
    """One complete reply, a failed one with a hostile error code, a running one and two calls of programs."""
    now = timezone.now()
    for status, code in ((Status.COMPLETE, ""), (Status.FAILED, "<b>broken</b>"), (Status.RUNNING, "")):
        reply = a_reply(administrator, status=status)
        Generation.objects.filter(pk=reply.pk).update(
            finished_at=None if status == Status.RUNNING else now,
            started_at=now - timedelta(seconds=3),
            first_text_at=now - timedelta(seconds=1),
            input_tokens=200,
            output_tokens=100,
            cost=Decimal("0.25"),
            error_code=code,
        )
    kept = Generation.objects.filter(status=Status.COMPLETE).get()
    for generation in (None, kept):  # the second one is a reply too
        UsageEntry.objects.create(
            model_label="m", api="chat", status="complete", output_tokens=50, cost=1, generation=generation
        )


@pytest.mark.django_db
@pytest.mark.usefixtures("replies")
def test_replies_and_calls_are_read_by_two_queries_once(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(2) as queries:
        day = last_day()
        assert last_day() == day
    assert not any("chat_message" in query["sql"] or "chat_conversation" in query["sql"] for query in queries)
    assert day.outcomes == {"complete": 2, "failed": 1}
    assert (day.input_tokens, day.output_tokens, day.cost) == (400, 250, 1.5)
    assert day.percentile(0.5) == 2.0


@pytest.mark.django_db
@pytest.mark.usefixtures("replies")
def test_the_start_page_draws_them_and_reads_no_text(client: Client, administrator: User) -> None:
    client.force_login(administrator)
    html = client.get("/admin/").content.decode()
    drawings = [
        ElementTree.fromstring(found) for found in re.findall(r"<svg viewBox.*?</svg>", html, re.DOTALL)
    ]
    assert [drawing.findtext("title") for drawing in drawings] == [
        "Replies",
        "Time to the first text",
        "Tokens",
        "Cost",
    ]
    for drawing in drawings:
        names = drawing.attrib["aria-labelledby"].split()
        assert names == [drawing[0].attrib["id"], drawing[1].attrib["id"]]
    assert "3 replies, 33.3% failed or interrupted" in html
    assert "half within 2.0\N{NO-BREAK SPACE}s" in html
    assert "&lt;b&gt;broken" in html
    assert "style=" not in "".join(re.findall(r"<section class=\"day\".*?</section>", html, re.DOTALL))
    assert TranscriptRead.objects.count() == 0


@pytest.mark.django_db
def test_without_replies_the_page_says_so(client: Client, administrator: User) -> None:
    client.force_login(administrator)
    html = client.get("/admin/").content.decode()
    assert "No reply ended in the last 24 hours." in html
    assert "<svg viewBox" not in html


@pytest.mark.django_db
@pytest.mark.usefixtures("replies")
@pytest.mark.parametrize(("codename", "is_shown"), [("view_endpoint", True), ("view_conversation", False)])
def test_only_staff_who_see_the_providers_see_them(
    client: Client, person: User, codename: str, is_shown: bool
) -> None:
    person.is_staff = True
    person.save()
    person.user_permissions.add(Permission.objects.get(codename=codename))
    client.force_login(person)
    assert ('class="day"' in client.get("/admin/").content.decode()) == is_shown
