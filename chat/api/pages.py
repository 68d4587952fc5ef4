"""Lists in pages: an opaque cursor says where the next one begins."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Annotated, Any

import orjson
from ninja.params import functions as parameters

from chat.actions.errors import InvalidInputError
from chat.api.resources import message_json
from chat.models.message import MessageQuerySet
from chat.translatable import translatable as _

Limit = Annotated[int, parameters.Query(ge=1, le=200, description="Entries of a page.")]
Cursor = Annotated[str, parameters.Query(max_length=500, description="`next` of the page before.")]


def encoded(*values: object) -> str:
    """Returns a cursor with these values."""
    return base64.urlsafe_b64encode(orjson.dumps([str(value) for value in values])).decode().rstrip("=")


def decoded(cursor: str, *readers: Callable[[str], Any]) -> list[Any]:
    """Returns the values of a cursor. Raises `InvalidInputError`."""
    try:
        values = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return [reader(value) for reader, value in zip(readers, values, strict=True)]
    except (ValueError, TypeError, AttributeError, binascii.Error):
        raise InvalidInputError(_("This cursor is not valid. Begin with the first page.")) from None


def whole(text: str) -> int:
    """Reads a number of a cursor. Raises `ValueError`."""
    number = int(text)
    if not 0 <= number < 2**31:
        raise ValueError
    return number


def page_of[R](
    rows: list[R], limit: int, shown: Callable[[R], Any], key: Callable[[R], str]
) -> dict[str, Any]:
    """Returns a page of these rows, of which the caller has read one more than `limit` if there are more.
    `key` is the cursor after a row."""
    following = key(rows[limit - 1]) if len(rows) > limit else None
    return {"items": [shown(row) for row in rows[:limit]], "next": following}


def page_of_messages(messages: MessageQuerySet, cursor: str, limit: int) -> dict[str, Any]:
    """Returns a page of messages in the order of their positions. Raises `InvalidInputError`."""
    found = messages.order_by("position")
    if cursor:
        (position,) = decoded(cursor, whole)
        found = found.filter(position__gt=position)
    related = found.select_related("generation").prefetch_related("feedback", "generation__journal")
    return page_of(list(related[: limit + 1]), limit, message_json, lambda row: encoded(row.position))
