"""The plots of the start page, in words and numbers of the active language."""

from __future__ import annotations

from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from chat.admin.day import Day, Hour
from chat.admin.plots import Plot, Series, Words
from chat.rendering.words import seconds

NO_BREAK = "\N{NO-BREAK SPACE}"
OUTCOMES = {
    "complete": _("Complete"),
    "stopped": _("Stopped"),
    "interrupted": _("Interrupted"),
    "failed": _("Failed"),
}


def plots_of(day: Day) -> list[Plot]:
    """Returns no plots if nothing ended."""
    if not day.count:
        return []
    return [_replies(day), _first_text(day), _tokens(day), _cost(day)]


def _replies(day: Day) -> Plot:
    count, failed = day.count, day.outcomes["failed"] + day.outcomes["interrupted"]
    replies = ngettext("{count} reply", "{count} replies", count).format(count=count_words(count))
    share = gettext("{percent}% failed or interrupted").format(percent=_number(100 * failed / count, 1))
    series = [
        Series(label, f"plot-{name}", [hour.outcomes[name] for hour in day.hours])
        for name, label in OUTCOMES.items()
    ]
    return _plot("replies", _("Replies"), f"{replies}, {share}", day.hours, series, count_words)


def _first_text(day: Day) -> Plot:
    words = gettext("half within {median}, 95% within {most}").format(
        median=_seconds(day.percentile(0.5)), most=_seconds(day.percentile(0.95))
    )
    series = [
        Series(_("Half within"), "plot-first", [hour.percentile(0.5) for hour in day.hours]),
        Series(_("95% within"), "plot-second", [hour.percentile(0.95) for hour in day.hours]),
    ]
    title = _("Time to the first text")
    return _plot("first-text", title, words, day.hours, series, _seconds, is_lines=True)


def _tokens(day: Day) -> Plot:
    words = gettext("{input} in, {output} out").format(
        input=count_words(day.input_tokens), output=count_words(day.output_tokens)
    )
    series = [
        Series(_("Input"), "plot-first", [hour.input_tokens for hour in day.hours]),
        Series(_("Output"), "plot-second", [hour.output_tokens for hour in day.hours]),
    ]
    return _plot("tokens", _("Tokens"), words, day.hours, series, count_words)


def _cost(day: Day) -> Plot:
    series = [Series(_("Cost"), "plot-first", [hour.cost for hour in day.hours])]
    return _plot("cost", _("Cost"), dollars(day.cost), day.hours, series, dollars)


def _plot(
    name: str,
    title: str | Promise,
    summary: str,
    hours: list[Hour],
    series: list[Series],
    words: Words,
    *,
    is_lines: bool = False,
) -> Plot:
    return Plot(name, title, summary, [hour.start for hour in hours], series, words, is_lines)


def count_words(value: float) -> str:
    """Returns a number as short as people read it: 9,999, 12k, 3.4M."""
    if value < 10_000:
        return number_format(round(value), force_grouping=True)
    if value < 999_500:
        return gettext("{number}k").format(number=_number(value / 1_000, 0))
    return gettext("{number}M").format(number=_number(value / 1_000_000, 1))


def dollars(value: float) -> str:
    """Returns an amount with two digits after the point, and small ones with two that are not 0."""
    digits = 2 if value >= 0.1 or not value else 4
    return gettext("${amount}").format(
        amount=number_format(round(value, digits), digits, force_grouping=True)
    )


def _seconds(value: float | None) -> str:
    return seconds(value) if value else f"0{NO_BREAK}s"


def _number(value: float, digits: int) -> str:
    """Without zeros at the end."""
    rounded = round(value, digits)
    return number_format(rounded, 0 if rounded == int(rounded) else digits, force_grouping=True)
