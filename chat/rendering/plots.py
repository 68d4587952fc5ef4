"""The geometry of small plots with one place for each hour or month, for a template that draws SVG. The unit
is that of the view box, whose origin is at the top left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from math import ceil, floor, log10

from django.utils.formats import date_format, number_format
from django.utils.functional import Promise
from django.utils.timezone import localtime
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

WIDTH, HEIGHT = 360, 130
LEFT, RIGHT, TOP, BOTTOM = 44, 4, 10, 20  # around the plot, for the numbers of its axes
GAP = 2  # between two bars
LEAST = 1.5  # so that one failed reply among thousands is seen
STEPS = (1, 2, 5, 10)

HOUR = _("Hour")

type Words = Callable[[float], str]


def clock(start: datetime) -> str:
    return date_format(localtime(start), "TIME_FORMAT")


def count_words(value: float) -> str:
    """Returns a number as short as people read it: 9,999, 12k, 3.4M."""
    if value < 10_000:
        return number_format(round(value), force_grouping=True)
    if value < 999_500:
        return gettext("{number}k").format(number=short_number(value / 1_000, 0))
    return gettext("{number}M").format(number=short_number(value / 1_000_000, 1))


def dollars(value: float) -> str:
    """Returns an amount with two digits after the point, and small ones with two that are not 0."""
    digits = 2 if value >= 0.1 or not value else 4
    return gettext("${amount}").format(
        amount=number_format(round(value, digits), digits, force_grouping=True)
    )


def short_number(value: float, digits: int) -> str:
    """Formats a number without zeros at its end."""
    rounded = round(value, digits)
    return number_format(rounded, 0 if rounded == int(rounded) else digits, force_grouping=True)


@dataclass(frozen=True)
class Series:
    """One value for each place; None where there is none. `css` is the class of its colour."""

    label: str | Promise
    css: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Bar:
    css: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Line:
    css: str
    path: str
    dots: list[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    """A plot with stacked bars, or with lines. `words` writes a value with its unit. `summary` says the most
    important numbers."""

    name: str
    title: str | Promise
    summary: str
    starts: Sequence[datetime]
    series: Sequence[Series]
    words: Words
    is_lines: bool = False
    unit: str | Promise = HOUR
    stamp: Callable[[datetime], str] = clock
    every: int = 6  # a time is written below each such place

    @property
    def view_box(self) -> str:
        return f"0 0 {WIDTH} {HEIGHT}"

    @property
    def columns(self) -> list[tuple[str, float, list[Bar]]]:
        """Returns for each place with a value its words, its position and its bars, from the bottom up."""
        return [
            (self._about(number), self._x(number), [] if self.is_lines else self._stack(number))
            for number in range(len(self.starts))
            if any(self._values_at(number))
        ]

    @property
    def lines(self) -> list[Line]:
        return [self._line(series) for series in self.series if self.is_lines]

    @property
    def grid(self) -> list[tuple[float, str]]:
        """Returns the position of each line of the grid, and its number, which the middle one does not
        have."""
        top = self._top
        return [(self._y(0), self.words(0)), (self._y(top / 2), ""), (self._y(top), self.words(top))]

    @property
    def times(self) -> list[tuple[float, str]]:
        """Returns the position of each time below the plot, with its words."""
        shown = range(0, len(self.starts), self.every)
        return [(self._x(number), self.stamp(self.starts[number])) for number in shown]

    @property
    def rows(self) -> list[tuple[str, list[str]]]:
        """Returns the plot as a table: a time, and the words of each series."""
        return [
            (
                self.stamp(start),
                ["-" if value is None else self.words(value) for value in self._values_at(number)],
            )
            for number, start in enumerate(self.starts)
            if any(self._values_at(number))
        ]

    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    height = HEIGHT - TOP - BOTTOM

    @property
    def place_width(self) -> float:
        return round((WIDTH - LEFT - RIGHT) / len(self.starts), 1)

    @cached_property
    def _top(self) -> float:
        """The value at the top of the plot: a round number that is not below any other."""
        sums = [
            max((value or 0 for value in self._values_at(number)), default=0)
            if self.is_lines
            else sum(value or 0 for value in self._values_at(number))
            for number in range(len(self.starts))
        ]
        return rounded_up(max(sums, default=0))

    def _about(self, number: int) -> str:
        values = zip(self.series, self._values_at(number), strict=True)
        said = [f"{series.label}: {self.words(value)}" for series, value in values if value]
        return f"{self.stamp(self.starts[number])} \N{EN DASH} {', '.join(said)}"

    def _values_at(self, number: int) -> list[float | None]:
        return [series.values[number] for series in self.series]

    def _x(self, number: int) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * number / len(self.starts), 1)

    def _y(self, value: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self._top, 1)

    def _stack(self, number: int) -> list[Bar]:
        x, width = self._x(number), round((WIDTH - LEFT - RIGHT) / len(self.starts) - GAP, 1)
        bars, y = [], float(self.bottom)
        for series in self.series:
            if value := series.values[number]:
                height = max(LEAST, self.bottom - self._y(value))
                y = max(0.0, y - height)
                bars.append(Bar(series.css, x, round(y, 1), width, round(height, 1)))
        return bars

    def _line(self, series: Series) -> Line:
        """Returns the line, interrupted where a place has no value."""
        half = (WIDTH - LEFT - RIGHT) / len(self.starts) / 2
        path, dots, joins = "", [], False
        for number, value in enumerate(series.values):
            if value is not None:
                x, y = round(self._x(number) + half, 1), self._y(value)
                path += f"{'L' if joins else 'M'}{x} {y}"
                dots.append((x, y))
            joins = value is not None
        return Line(series.css, path, dots)


def rounded_up(value: float) -> float:
    """Returns the next number of 1, 2 and 5 times a power of ten; 1 for 0."""
    if value <= 0:
        return 1
    power = 10 ** floor(log10(value))
    return next((step * power for step in STEPS if step * power >= value), ceil(value))
