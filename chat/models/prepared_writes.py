"""Writes that are compiled once: INSERT, UPDATE and DELETE of the rows that each prompt and reply changes.
The ORM builds each of them anew, which takes many times as long as the statement itself.

They do what `bulk_create`, `QuerySet.update` and `QuerySet.delete` do, in the caller's transaction. They send
no signals and delete nothing in cascade, so they are for models that need neither. A value that is computed
by the database, such as `Now()`, is left to the ORM.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from types import NoneType
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.db.models import (
    AutoField,
    BigAutoField,
    BigIntegerField,
    BooleanField,
    CharField,
    IntegerField,
    Model,
    PositiveBigIntegerField,
    PositiveIntegerField,
    TextField,
)
from django.db.models.expressions import DatabaseDefault

type Conditions = Mapping[str, Any]  # by column: its value, or a tuple of values of which it has one
_VALUES = frozenset({NoneType, bool, int, str, UUID, datetime, list, dict})
_TEXTS: dict[type, type] = {CharField: str, TextField: str, BooleanField: bool}
_NUMBERS: dict[type, type] = dict.fromkeys(
    (AutoField, BigAutoField, IntegerField, BigIntegerField, PositiveIntegerField, PositiveBigIntegerField),
    int,
)

type _Shape = tuple[tuple[str, int], ...]  # the columns of conditions, each with its number of values


def insert(rows: Sequence[Model], *, replaces: str = "") -> None:
    """Adds rows of one model, whose primary keys are set. A row that has the same value in the unique column
    `replaces` gets the values of the new one instead."""
    if not rows:
        return
    model = type(rows[0])
    names = _columns(model)
    values = [_value(row, _field(model, name)) for row in rows for name in names]
    if any(map(_is_computed, values)) and not replaces:
        model._default_manager.bulk_create(rows)
        return
    _execute(_insertion(connection.vendor, model, len(rows), replaces), model, [*names] * len(rows), values)
    for row in rows:
        row._state.adding, row._state.db = False, connection.alias


def save(row: Model, *names: str) -> None:
    """Stores these columns of a row that is in the database, or all of them. Raises the model's `NotUpdated`
    if it is not there any more."""
    model = type(row)
    changed = names or [name for name in _columns(model) if name != model._meta.pk.attname]
    values = {name: _field(model, name).pre_save(row, False) for name in changed}
    if not update(model, {"pk": row.pk}, values):
        raise model.NotUpdated(f"There is no such row: {row.pk}")  # type: ignore[attr-defined]


def columns_of(row: Model) -> dict[str, Any]:
    """Returns the present values of the columns, for `save_changes`."""
    return {name: vars(row)[name] for name in _columns(type(row))}


def save_changes(row: Model, before: Mapping[str, Any]) -> None:
    """As `save`, for the columns whose values are not those `before`. SQLite writes the indexes, and checks
    the references, of all columns that a statement names."""
    now = vars(row)
    save(row, *[name for name, value in before.items() if now[name] != value])


def update(model: type[Model], where: Conditions, values: Mapping[str, Any]) -> int:
    """Sets columns in the rows that fulfil all conditions. Returns the number of these rows."""
    if any(map(_is_computed, values.values())):
        lookups = {f"{name}__in" if isinstance(it, tuple) else name: it for name, it in where.items()}
        return model._default_manager.filter(**lookups).update(**values)
    names, found = _expanded(where)
    statement = _update(connection.vendor, model, tuple(values), _shape(where))
    return _execute(statement, model, [*values, *names], [*values.values(), *found])


def delete(model: type[Model], where: Conditions) -> None:
    """Deletes the rows that fulfil all conditions."""
    _execute(_deletion(connection.vendor, model, _shape(where)), model, *_expanded(where))


def _execute(statement: str, model: type[Model], names: Iterable[str], values: Iterable[Any]) -> int:
    """Returns the number of rows."""
    database = connections[DEFAULT_DB_ALIAS]  # looked up once: `connection` looks it up for each value
    vendor = database.vendor
    params: list[Any] = []
    for name, value in zip(names, values, strict=True):
        if value is None or type(value) is _plain(vendor, model, name):
            params.append(value)
            continue
        field = _field(model, name)
        if isinstance(value, Model):
            value = value.prepare_database_save(field)
        params.append(field.get_db_prep_save(value, database))
    # As the ORM does: a transaction whose error is caught inside of it is rolled back all the same.
    with transaction.mark_for_rollback_on_error(DEFAULT_DB_ALIAS), database.cursor() as cursor:
        cursor.execute(statement, params)
        return int(cursor.rowcount)


def _value(row: Model, field: Any) -> Any:
    """Returns the value of a new row. A default of the database that is a constant needs no expression."""
    value = field.pre_save(row, True)
    if isinstance(value, DatabaseDefault) and not _is_computed(field.db_default):
        value = field.db_default
        setattr(row, field.attname, value)
    return value


def _is_computed(value: object) -> bool:
    return type(value) not in _VALUES and hasattr(value, "resolve_expression")


@cache
def _plain(vendor: str, model: type[Model], name: str) -> type | None:
    """Returns the type of values that the field gives to the database as they are. To ask it takes longer
    than the statement."""
    field = _field(model, name)
    if vendor == "sqlite" and field.remote_field is not None:
        field = field.target_field
    # psycopg marks the size of a number by its type
    return _TEXTS.get(type(field)) or (_NUMBERS.get(type(field)) if vendor == "sqlite" else None)


def _expanded(where: Conditions) -> tuple[list[str], list[Any]]:
    """Returns the columns and the values of the parameters."""
    pairs = [(name, it) for name, its in where.items() for it in (its if isinstance(its, tuple) else (its,))]
    return [name for name, _it in pairs], [it for _name, it in pairs]


def _shape(where: Conditions) -> _Shape:
    return tuple((name, len(its) if isinstance(its, tuple) else 1) for name, its in where.items())


@cache
def _field(model: type[Model], name: str) -> Any:
    return model._meta.pk if name == "pk" else model._meta.get_field(name)


@cache
def _columns(model: type[Model]) -> tuple[str, ...]:
    return tuple(field.attname for field in model._meta.concrete_fields if not field.generated)


@cache
def _insertion(vendor: str, model: type[Model], rows: int, replaces: str) -> str:
    names = _columns(model)
    columns = [_quoted(model, name) for name in names]
    row = f"({', '.join(['%s'] * len(names))})"
    table = connection.ops.quote_name(model._meta.db_table)
    values = ", ".join([row] * rows)
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES {values}"  # noqa: S608  (names of columns)
    if not replaces:
        return statement
    unique = _quoted(model, replaces)
    changes = ", ".join(f"{column} = EXCLUDED.{column}" for column in columns if column != unique)
    return f"{statement} ON CONFLICT ({unique}) DO UPDATE SET {changes}"


@cache
def _update(vendor: str, model: type[Model], names: tuple[str, ...], where: _Shape) -> str:
    table = connection.ops.quote_name(model._meta.db_table)
    changes = ", ".join(f"{_quoted(model, name)} = %s" for name in names)
    return f"UPDATE {table} SET {changes} WHERE {_conditions(model, where)}"  # noqa: S608  (as above)


@cache
def _deletion(vendor: str, model: type[Model], where: _Shape) -> str:
    table = connection.ops.quote_name(model._meta.db_table)
    return f"DELETE FROM {table} WHERE {_conditions(model, where)}"  # noqa: S608  (as above)


def _conditions(model: type[Model], where: _Shape) -> str:
    return " AND ".join(f"{_quoted(model, name)} IN ({', '.join(['%s'] * count)})" for name, count in where)


def _quoted(model: type[Model], name: str) -> str:
    return connection.ops.quote_name(_field(model, name).column)
