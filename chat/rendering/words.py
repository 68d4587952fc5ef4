"""Translates sentences for people where they are shown.

Errors and the database hold them in English, marked with `chat.translatable`. A sentence that is not in the
catalogue, such as one that an older version stored, is shown as it is.
"""

from __future__ import annotations

from django.utils.formats import number_format
from django.utils.translation import gettext, ngettext

from chat.models.catalog import Effort
from chat.models.parameters import Parameters


def translated(words: str) -> str:
    """Returns the words in the active language, if its catalogue has them."""
    return gettext(words) if words else ""


def in_words(error: Exception) -> str:
    """Returns the message of an error for people, in the active language."""
    values = getattr(error, "values", None)
    if not values:
        return translated(str(error))
    values = {name: _Number(value) if isinstance(value, int) else value for name, value in values.items()}
    return gettext(error.words).format(**values)  # type: ignore[attr-defined]


def seconds(value: float | None) -> str:
    """Returns a duration in words: 0.8 s (in German 0,8 s), 12 s, 3 min 5 s."""
    if value is None:
        return ""
    if value < 10:
        return f"{number_format(round(value, 1), 1)}\N{NO-BREAK SPACE}s"
    minutes, rest = divmod(round(value), 60)
    return (f"{minutes}\N{NO-BREAK SPACE}min " if minutes else "") + f"{rest}\N{NO-BREAK SPACE}s"


def parameters_in_words(stored: object) -> list[str]:
    """Returns the parameters that were set: "temperature 0.7", "at most 500 tokens", "effort high"."""
    parameters = Parameters.of(stored)
    words = []
    if parameters.temperature is not None:
        number = number_format(parameters.temperature)
        words.append(gettext("temperature {number}").format(number=number))
    if (most := parameters.max_output_tokens) is not None:
        number = number_format(most, force_grouping=True)
        limit = ngettext("at most {number} token", "at most {number} tokens", most)
        words.append(limit.format(number=number))
    if parameters.reasoning_effort:
        words.append(gettext("effort {effort}").format(effort=Effort(parameters.reasoning_effort).label))
    return words


class _Number(int):
    """Formats itself with the separators of the active language."""

    def __format__(self, specification: str) -> str:
        return number_format(int(self), force_grouping=True)
