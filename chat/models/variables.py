"""Variables in instructions and saved prompts: `{{name}}`."""

from __future__ import annotations

import re
from collections.abc import Mapping

NAME_LENGTH = 40
MOST = 20  # variables of one text; what looks like further ones stays as it is

_VARIABLE = re.compile(r"\{\{[ \t]*(\w(?:[\w -]{0,38}\w)?)[ \t]*\}\}")


def variables_in(text: str) -> list[str]:
    """Returns the names of the variables in the order of their first places."""
    return list(dict.fromkeys(found[1] for found in _VARIABLE.finditer(text)))[:MOST]


def filled(text: str, values: Mapping[str, str]) -> str:
    """Returns the text with the values. Variables in a value are not filled in, and those without a value
    stay as they are."""
    return _VARIABLE.sub(lambda found: values.get(found[1], found[0]), text)
