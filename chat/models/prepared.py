"""Queries that are compiled once. Django builds a queryset and compiles its SQL each time, which takes many
times as long as the database needs for a row by its key. The queries of every page, socket and prompt are
prepared.

A prepared query is written as a queryset, so it follows each migration. It uses what a queryset's iteration
uses of Django: `Query.get_compiler` and `SQLCompiler.execute_sql`, `select` and `klass_info`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.models import QuerySet

from chat.models.prepared_rows import rows_of

_ALIAS = "default"


class Prepared[Row]:
    """A query with parameters. `build` gets one value of each of `kinds` (int, str, UUID or datetime), and
    returns the queryset. It is called once for each kind of database, so its result must depend on nothing
    else. A parameter can be compared with a column. It cannot be None, and not a part of a pattern."""

    def __init__(self, build: Callable[..., QuerySet[Any, Row]], *kinds: type) -> None:
        self._build, self._kinds = build, kinds
        self._compiled: dict[str, _Compiled[Row]] = {}  # by kind of database

    def all(self, *values: Any) -> list[Row]:
        """Runs the query. Returns its rows."""
        vendor = connections[_ALIAS].vendor
        compiled = self._compiled.get(vendor)
        if compiled is None:
            compiled = self._compiled[vendor] = _Compiled(self._build, self._kinds)
        return compiled.rows(values)

    def first(self, *values: Any) -> Row | None:
        """Runs the query. Returns its first row, or None."""
        return next(iter(self.all(*values)), None)


class _Compiled[Row]:
    def __init__(self, build: Callable[..., QuerySet[Any, Row]], kinds: tuple[type, ...]) -> None:
        samples = [_sample(kind, number) for number, kind in enumerate(kinds)]
        self._queryset: Any = build(*samples)
        self._compiler: Any = self._queryset.query.get_compiler(_ALIAS)
        self._sql, params = self._compiler.as_sql()
        # The same for all rows and threads, and half of the cost of a row.
        converters = self._compiler.get_converters([column for column, *_rest in self._compiler.select])
        self._compiler.get_converters = lambda _columns: converters
        self._rows = rows_of(self._queryset, self._compiler, converters)
        self._params: list[tuple[int, Callable[[Any], Any]] | Any] = list(params)
        self._bound: list[tuple[int, int, Callable[[Any], Any]]] = []  # place, value, conversion
        for place, param in enumerate(params):
            for number, sample in enumerate(samples):
                if (convert := _conversion(sample, param)) is not None:
                    self._bound.append((place, number, convert))
        if {number for _place, number, _convert in self._bound} != set(range(len(kinds))):
            raise ImproperlyConfigured(f"A value does not reach the SQL of a prepared query: {self._sql}")

    def rows(self, values: tuple[Any, ...]) -> list[Row]:
        params = self._params.copy()
        for place, number, convert in self._bound:
            params[place] = convert(values[number])
        if self._rows is not None:
            return self._rows.all(self._sql, params)
        return list(self._queryset._iterable_class(_Bound(self._queryset, self._compiler, self._sql, params)))


class _Bound:
    """What the iteration of a queryset asks the queryset and its query for, with values."""

    db = _ALIAS

    def __init__(self, queryset: Any, compiler: Any, sql: str, params: list[Any]) -> None:
        self.model, self.query = queryset.model, self
        self._fetch_mode, self._known_related_objects = queryset._fetch_mode, queryset._known_related_objects
        self._compiler, self._compiled = compiler, (sql, tuple(params))

    def get_compiler(self, using: str) -> Any:
        compiler = object.__new__(type(self._compiler))
        vars(compiler).update(vars(self._compiler))
        compiler.connection = connections[using]  # that of this thread
        compiler.as_sql = lambda: self._compiled
        return compiler


def _sample(kind: type, number: int) -> Any:
    """Returns a value that no query contains."""
    if kind is int:
        return 1_987_650_321 + number
    if kind is str:
        return f"\ue000prepared {number}\ue000"
    if kind is UUID:
        return UUID(int=0xF3A155ED_0000_4000_8000_000000000000 + number)
    if kind is datetime:
        return datetime(2951, 3, 1, tzinfo=UTC) + timedelta(microseconds=number)
    raise ImproperlyConfigured(f"A prepared query has no parameters of the type {kind}.")


def _conversion(sample: Any, param: Any) -> Callable[[Any], Any] | None:
    """Returns how a value becomes a parameter of the SQL, if this one was made of the sample."""
    if type(param) is type(sample):
        return (lambda value: value) if param == sample else None
    if isinstance(sample, int) and isinstance(param, int):  # psycopg marks the size of a number by its type
        return type(param) if param == sample else None
    if isinstance(sample, UUID) and param == sample.hex:
        return lambda value: value.hex
    if isinstance(sample, datetime):
        adapt = connections[_ALIAS].ops.adapt_datetimefield_value
        return adapt if param == adapt(sample) else None
    return None
