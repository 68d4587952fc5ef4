"""What the user's replies and programs used, by month and model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import TruncMonth
from django.http import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chat.models import Generation, UsageEntry, User
from chat.rendering.plots import Plot, Series, count_words, dollars
from chat.views.responses import UserRequest, for_users

MONTHS = 12


@dataclass(slots=True)
class Used:
    """A sum. `calls` are replies and calls of programs; tokens; US dollars. `cached_tokens` are those of the
    input that the provider read from its cache."""

    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def add(self, row: Used) -> None:
        self.calls += row.calls
        self.input_tokens += row.input_tokens
        self.cached_tokens += row.cached_tokens
        self.output_tokens += row.output_tokens
        self.cost += row.cost

    @property
    def words(self) -> list[str]:
        numbers = (self.calls, self.input_tokens, self.cached_tokens, self.output_tokens)
        return [*map(count_words, numbers), dollars(self.cost)]


@dataclass(slots=True)
class Month:
    start: datetime
    total: Used = field(default_factory=Used)
    models: dict[str, Used] = field(default_factory=lambda: defaultdict(Used))

    @property
    def name(self) -> str:
        return date_format(self.start, "YEAR_MONTH_FORMAT")

    @property
    def rows(self) -> list[tuple[str, list[str]]]:
        """Returns the words of each model, the one with the most tokens first."""
        by_tokens = sorted(self.models.items(), key=lambda it: -it[1].input_tokens - it[1].output_tokens)
        return [(label, used.words) for label, used in by_tokens]


@never_cache
@require_safe
@for_users
def usage(request: UserRequest) -> HttpResponseBase:
    """Shows the last twelve months, the newest first."""
    months = months_of(request.user, timezone.localtime())
    used = [month for month in reversed(months) if month.total.calls]
    context = {"months": used, "plots": _plots(months) if used else []}
    return render(request, "chat/usage.html", context)


def months_of(user: User, now: datetime) -> list[Month]:
    """Returns the last `MONTHS` calendar months in the server's time zone, the oldest first."""
    count = now.year * 12 + now.month - 1
    midnight = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    starts = [
        midnight.replace(year=at // 12, month=at % 12 + 1) for at in range(count - MONTHS + 1, count + 1)
    ]
    months = {(start.year, start.month): Month(start) for start in starts}
    replies = Generation.objects.made_here().filter(conversation__owner=user, finished_at__gte=starts[0])
    # The other entries are of replies.
    calls = UsageEntry.objects.filter(user=user, generation=None, at__gte=starts[0])
    for at, label, used in (*_sums(replies, "finished_at"), *_sums(calls, "at")):
        if month := months.get((at.year, at.month)):
            month.total.add(used)
            month.models[label].add(used)
    return list(months.values())


def _sums(
    rows: QuerySet[Generation] | QuerySet[UsageEntry], date: str
) -> Iterable[tuple[datetime, str, Used]]:
    by_month = rows.order_by().annotate(month=TruncMonth(date)).values_list("month", "model_label")
    tokens = [Sum(f"{kind}_tokens") for kind in ("input", "cached_input", "output")]
    for month, label, count, read, cached, written, cost in by_month.annotate(
        Count("pk"), *tokens, Sum("cost")
    ):
        yield month, label, Used(count, read or 0, cached or 0, written or 0, float(cost or 0))


def _plots(months: list[Month]) -> list[Plot]:
    starts = [month.start for month in months]
    total = Used()
    for month in months:
        total.add(month.total)
    tokens = [
        Series(_("Input"), "plot-first", [month.total.input_tokens for month in months]),
        Series(_("Output"), "plot-second", [month.total.output_tokens for month in months]),
    ]
    cost = [Series(_("Cost"), "plot-first", [month.total.cost for month in months])]
    sum_of_tokens = count_words(total.input_tokens + total.output_tokens)
    shape = {"unit": _("Month"), "stamp": _short, "every": 3}
    plots = [Plot("tokens", _("Tokens"), sum_of_tokens, starts, tokens, count_words, **shape)]  # type: ignore[arg-type]
    if total.cost:
        plots.append(Plot("cost", _("Cost"), dollars(total.cost), starts, cost, dollars, **shape))  # type: ignore[arg-type]
    return plots


def _short(start: datetime) -> str:
    return date_format(start, "M Y")
