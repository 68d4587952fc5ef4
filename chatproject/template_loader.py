"""Loads the project's templates without the line breaks and indentation between their tags.

Templates have one element a line. This layout would be a fifth of each page, and blanks between inline
elements are visible. So a line break, with the blanks around it, becomes:

- nothing between two tags, after a start tag, before an end tag, and next to `{% ... %}` and `{# ... #}`;
- one blank elsewhere: within text and between the attributes of a tag.

It happens once for each template: Django keeps the compiled ones. No template breaks a line inside `<pre>`
or `<textarea>`. Values are put in later, so their line breaks stay.
"""

from __future__ import annotations

import re

from django.template.base import Origin
from django.template.loaders import filesystem

_DJANGO = r"{%.*?%}|{{.*?}}|{#.*?#}"
_BREAK = r"\s*\n\s*"
_TAG = re.compile(
    rf"""(?P<tag></?(?:[a-zA-Z]|{{%)(?:{_DJANGO}|"(?:{_DJANGO}|[^"])*"|'(?:{_DJANGO}|[^'])*'|[^>"'])*>)"""
    rf"(?P<after>{_BREAK})?"
)
_REMOVED = re.compile(rf"(?<=%}}){_BREAK}|(?<=#}}){_BREAK}|(?<=>){_BREAK}(?=<)|{_BREAK}(?={{%|{{#|</)")


class Loader(filesystem.Loader):
    """The templates of the directories in `DIRS`; those of packages are loaded as they are."""

    def get_contents(self, origin: Origin) -> str:
        return without_layout(super().get_contents(origin))


def without_layout(source: str) -> str:
    """The same template on as few lines as its meaning allows."""
    source = _REMOVED.sub("", _TAG.sub(_one_line, source.strip()))
    return re.sub(_BREAK, " ", source)


def _one_line(match: re.Match[str]) -> str:
    tag = re.sub(_BREAK, " ", re.sub(rf"{_BREAK}(?=/?>)", "", match["tag"]))
    return tag + ((match["after"] or "") if tag.startswith("</") else "")
