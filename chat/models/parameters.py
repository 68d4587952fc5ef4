"""The parameters that a person sets for a chat or a preset: temperature, output length, reasoning effort.

They are stored as a JSON object with the names of the fields of `Parameters`. A missing name means the
default of the model. `Allowed` is what a model lets people set. A chat keeps its parameters when its model
changes, and each request has them within what its model allows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from chat.translatable import translatable as _

EFFORTS = ("none", "low", "medium", "high")  # from the least to the most
HOTTEST = 2.0  # the highest temperature of any provider
MOST_OUTPUT = 10_000_000  # tokens


class InvalidParameterError(ValueError):
    """`words` are English and for people, with {names} for `values`."""

    def __init__(self, words: str, **values: object) -> None:
        super().__init__(words.format(**values))
        self.words, self.values = words, values


@dataclass(frozen=True, slots=True)
class Allowed:
    """What people may set for a model. `temperature` and `output` (tokens) are the least and the greatest
    value, None if it cannot be set. `efforts` is a part of `EFFORTS`, in order."""

    temperature: tuple[float, float] | None = (0.0, HOTTEST)
    output: tuple[int, int] | None = (1, MOST_OUTPUT)
    efforts: tuple[str, ...] = EFFORTS

    def __bool__(self) -> bool:
        return bool(self.temperature or self.output or self.efforts)


@dataclass(frozen=True, slots=True)
class Parameters:
    """None or "" is the default of the model."""

    temperature: float | None = None
    max_output_tokens: int | None = None
    reasoning_effort: str = ""

    def __bool__(self) -> bool:
        return self != Parameters()

    @classmethod
    def of(cls, stored: object) -> Parameters:
        """Returns the parameters of a column. A value that cannot be used is left out: another version of
        the code may have written it."""
        values = stored if isinstance(stored, Mapping) else {}
        found: dict[str, Any] = {}
        for name in _NAMES & values.keys():
            try:
                found[name] = _READERS[name](values[name])
            except InvalidParameterError:
                continue
        return cls(**found)

    @classmethod
    def checked(cls, values: object) -> Parameters:
        """Returns the parameters that a page or a program sent: an object, its JSON, or the fields of a form.
        None and "" are the default of the model. Raises `InvalidParameterError`."""
        if isinstance(values, str):
            try:
                values = json.loads(values)
            except (ValueError, RecursionError):
                raise InvalidParameterError(_UNREADABLE) from None
        if not isinstance(values, Mapping) or not values.keys() <= _NAMES:
            raise InvalidParameterError(_UNREADABLE)
        found: dict[str, Any] = {}
        for name, value in values.items():
            if value is not None and value != "":
                found[name] = _READERS[name](value)
        return cls(**found)

    def as_json(self) -> dict[str, Any] | None:
        """Returns what is stored; None if all are the defaults."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "")} or None

    def within(self, allowed: Allowed) -> Parameters:
        """Returns the nearest parameters that are allowed."""
        temperature, output, effort = self.temperature, self.max_output_tokens, self.reasoning_effort
        if temperature is not None:
            temperature = _between(temperature, allowed.temperature)
        if output is not None:
            output = _between(output, allowed.output)
        if effort and effort not in allowed.efforts:
            place = EFFORTS.index(effort)
            nearest = sorted(allowed.efforts, key=lambda it: abs(EFFORTS.index(it) - place))
            effort = nearest[0] if nearest else ""
        return Parameters(temperature, output, effort)

    def over(self, defaults: Parameters) -> Parameters:
        """Returns these parameters, and those of `defaults` that are not set here."""
        return Parameters(
            defaults.temperature if self.temperature is None else self.temperature,
            defaults.max_output_tokens if self.max_output_tokens is None else self.max_output_tokens,
            self.reasoning_effort or defaults.reasoning_effort,
        )


def _between[N: (int, float)](value: N, span: tuple[N, N] | None) -> N | None:
    return None if span is None else min(max(value, span[0]), span[1])


def _temperature(value: object) -> float:
    number = _number(value)
    if not 0 <= number <= HOTTEST:
        raise InvalidParameterError(
            _("The temperature must be a number from 0 to {most}."), most=f"{HOTTEST:g}"
        )
    return number


def _output(value: object) -> int:
    number = _number(value)
    if not (number.is_integer() and 1 <= number <= MOST_OUTPUT):
        raise InvalidParameterError(_("The length must be a whole number of tokens, at least 1."))
    return int(number)


def _effort(value: object) -> str:
    if value not in EFFORTS:
        raise InvalidParameterError(
            _("Choose one of these reasoning efforts: {efforts}."), efforts=", ".join(EFFORTS)
        )
    return str(value)


def _number(value: object) -> float:
    """Returns a number, or the number that a field of a form has. NaN if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


_UNREADABLE = _("The parameters cannot be read. Reload the page.")
_READERS = {"temperature": _temperature, "max_output_tokens": _output, "reasoning_effort": _effort}
_NAMES = frozenset(field.name for field in fields(Parameters))
