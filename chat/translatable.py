"""Marks text for people where it is written, without importing Django: the leaf packages use it, too.

The text stays English in errors and in the database. `chat.rendering.words` translates it where it is shown.
"""

from __future__ import annotations


def translatable(text: str) -> str:
    """Returns `text` unchanged. Import it as `_`: `makemessages` and the tests of the catalogue look for that
    name. Values are named in braces and filled in after the translation."""
    return text
