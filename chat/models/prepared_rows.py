"""Makes objects of the rows of a prepared query.

It does what Django's `ModelIterable` does. Django looks up the columns of each model anew for each query, and
calls `__init__`, which sends two signals and sets each attribute by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model
from django.db.models.base import ModelState
from django.db.models.fetch_modes import FETCH_ONE
from django.db.models.query import FlatValuesListIterable, ModelIterable
from django.db.models.signals import post_init, pre_init

type Make = Callable[[Sequence[Any]], Any]


class Rows:
    """Runs the SQL of a compiled queryset. `make` returns the result for a row."""

    def __init__(self, converters: dict[int, tuple[list[Any], Any]], make: Make) -> None:
        self._converters = [
            (place, convert, it) for place, (all_, it) in converters.items() for convert in all_
        ]
        self._make = make

    def all(self, sql: str, params: Sequence[Any]) -> list[Any]:
        """Returns the results of all rows."""
        database, make = connections[DEFAULT_DB_ALIAS], self._make
        with database.cursor() as cursor:
            cursor.execute(sql, params)
            rows = cursor.fetchall()
        found = []
        for values in rows:
            row = list(values)
            for place, convert, expression in self._converters:
                row[place] = convert(row[place], expression, database)
            found.append(make(row))
        return found


def rows_of(queryset: Any, compiler: Any, converters: dict[int, tuple[list[Any], Any]]) -> Rows | None:
    """Returns what makes the results of this queryset after its compilation, or None if Django must do it."""
    kind = queryset._iterable_class
    if kind is FlatValuesListIterable:
        return Rows(converters, lambda row: row[0])
    if kind is not ModelIterable or queryset._known_related_objects or queryset._fetch_mode is not FETCH_ONE:
        return None
    main = _maker(compiler.klass_info, compiler.select)
    if main is None:
        return None
    names = list((compiler.annotation_col_map or {}).items())

    def make(row: Sequence[Any]) -> Any:
        obj = main(row)
        for name, place in names:
            setattr(obj, name, row[place])
        return obj

    return Rows(converters, make if names else main)


def _maker(info: dict[str, Any], select: Any) -> Make | None:
    """Returns what makes the object of this model, and of those that its query joins. It returns None for a
    row of an outer join that has no object."""
    model: type[Model] = info["model"]
    if not _is_usual(model) or info.get("from_parent"):
        return None
    start, end = info["select_fields"][0], info["select_fields"][-1] + 1
    names = [column[0].target.attname for column in select[start:end]]
    key = start + names.index(model._meta.pk.attname)
    joined = []
    for other in info.get("related_klass_infos", ()):
        make_other = _maker(other, select)
        if make_other is None:
            return None
        joined.append((make_other, other["local_setter"], other["remote_setter"]))
    new = model.__new__

    def make(row: Sequence[Any]) -> Any:
        if row[key] is None:
            return None
        obj = new(model)
        state = ModelState()
        state.adding, state.db = False, DEFAULT_DB_ALIAS
        attributes = vars(obj)
        attributes["_state"] = state
        attributes.update(zip(names, row[start:end], strict=True))
        for make_other, set_here, set_there in joined:
            other = make_other(row)
            set_here(obj, other)
            if other is not None:
                set_there(other, obj)
        return obj

    return make


def _is_usual(model: type[Model]) -> bool:
    """Returns whether nothing is to happen when an object of the model is made."""
    is_plain = model.__init__ is Model.__init__ and model.from_db.__func__ is Model.from_db.__func__  # type: ignore[attr-defined]
    return is_plain and not (pre_init.has_listeners(model) or post_init.has_listeners(model))
