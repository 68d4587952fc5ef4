"""The plots of the start page, in words and numbers of the active language."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from chat.admin.day import Day, Hour
from chat.rendering.plots import Plot, Series, Words, count_words, dollars, short_number
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
    share = gettext("{percent}% failed or interrupted").format(percent=short_number(100 * failed / count, 1))
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


def _seconds(value: float | None) -> str:
    return seconds(value) if value else f"0{NO_BREAK}s"
