"""The last 24 hours of all processes, for the start page. They are read from the rows of replies and API
calls, without any text, so no entry in the audit record is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple

from django.core.cache import cache
from django.utils import timezone

from chat.models import LIVE, Generation, Status, UsageEntry

HOURS = 24
CACHE_SECONDS = 30  # the page is reloaded more often than it changes
COMMON_ERRORS = 5


class Ended(NamedTuple):
    """A reply or an API call that ended. Its cost is in US dollars."""

    at: datetime
    status: str
    error_code: str
    seconds_to_text: float | None
    input_tokens: int
    output_tokens: int
    cost: float


@dataclass
class Hour:
    """One hour of the clock. The numbers of `outcomes` are by the groups of the plot."""

    start: datetime
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds_to_text: list[float] = field(default_factory=list)
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def percentile(self, share: float) -> float | None:
        return percentile(self.seconds_to_text, share)


@dataclass
class Day:
    """`hours` begins with the oldest one. The last one is not over yet."""

    hours: list[Hour]
    errors: Counter[str]

    @property
    def outcomes(self) -> Counter[str]:
        return sum((hour.outcomes for hour in self.hours), Counter())

    @property
    def count(self) -> int:
        return self.outcomes.total()

    @property
    def input_tokens(self) -> int:
        return sum(hour.input_tokens for hour in self.hours)

    @property
    def output_tokens(self) -> int:
        return sum(hour.output_tokens for hour in self.hours)

    @property
    def cost(self) -> float:
        return sum(hour.cost for hour in self.hours)

    def percentile(self, share: float) -> float | None:
        return percentile([seconds for hour in self.hours for seconds in hour.seconds_to_text], share)


GROUPS = {
    Status.COMPLETE: "complete",
    Status.LENGTH: "complete",
    Status.STOPPED: "stopped",
    Status.INTERRUPTED: "interrupted",
    Status.FAILED: "failed",
    Status.REFUSED: "failed",
}


def last_day() -> Day:
    """Returns the last 24 hours up to now, at most `CACHE_SECONDS` old."""
    now = timezone.now()
    found: Day | None = cache.get("last_day")
    if found is None:
        found = day_of(_ended_since(_hours(now)[0]), now)
        cache.set("last_day", found, CACHE_SECONDS)
    return found


def day_of(ended: Iterator[Ended], now: datetime) -> Day:
    """Returns the sums of these replies and calls by the hours of the clock up to `now`."""
    starts = _hours(now)
    hours = [Hour(start) for start in starts]
    errors: Counter[str] = Counter()
    for one in ended:
        number = (one.at - starts[0]) // timedelta(hours=1)
        if not 0 <= number < HOURS:
            continue
        hour = hours[number]
        hour.outcomes[GROUPS[Status(one.status)]] += 1
        if one.seconds_to_text is not None:
            hour.seconds_to_text.append(max(0.0, one.seconds_to_text))
        hour.input_tokens += one.input_tokens
        hour.output_tokens += one.output_tokens
        hour.cost += one.cost
        if one.error_code and one.status in (Status.FAILED, Status.INTERRUPTED, Status.REFUSED):
            errors[one.error_code] += 1
    return Day(hours, Counter(dict(errors.most_common(COMMON_ERRORS))))


def percentile(values: Sequence[float], share: float) -> float | None:
    """Returns the smallest value that at least this share of the values does not exceed."""
    return sorted(values)[ceil(share * len(values)) - 1] if values else None


def _hours(now: datetime) -> list[datetime]:
    last = now.replace(minute=0, second=0, microsecond=0)
    return [last - timedelta(hours=HOURS - 1 - number) for number in range(HOURS)]


def _ended_since(start: datetime) -> Iterator[Ended]:
    replies = Generation.objects.made_here().filter(finished_at__gte=start).exclude(status__in=LIVE)
    columns = ("started_at", "first_text_at", "input_tokens", "output_tokens", "cost")
    rows = replies.order_by().values_list("finished_at", "status", "error_code", *columns)
    for at, status, code, started, first, asked, said, cost in rows.iterator():
        if at is not None:
            seconds = (first - started).total_seconds() if first and started else None
            yield Ended(at, status, code, seconds, asked or 0, said or 0, float(cost or 0))
    # A call that was kept as a chat is a reply too.
    calls = UsageEntry.objects.filter(at__gte=start, generation=None).order_by()
    used = ("seconds_to_first_token", "input_tokens", "output_tokens", "cost")
    for at, status, code, seconds, asked, said, cost in calls.values_list(
        "at", "status", "error_code", *used
    ).iterator():
        yield Ended(at, status, code, seconds, asked or 0, said or 0, float(cost or 0))
