"""A tool, and how a function becomes one."""

from __future__ import annotations

import inspect
import types
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, Union, get_args, get_origin

import orjson

SECONDS = 30.0
RESULT_CHARS = 40_000  # about 10,000 tokens

type Search = Callable[[str], Awaitable[str]]


class ToolError(Exception):
    """A tool call failed. The text is for the model and the user."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The user for whom a tool runs. A parameter of this type is not part of the tool's schema. `search`
    searches the user's chats, and returns text."""

    search: Search | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that models may call. `run` is called with the arguments and the caller. `parameters` is a JSON
    Schema object. `asks` and `enabled` are defaults: whether each call needs an approval, and whether users
    may switch the tool on."""

    name: str
    title: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[[Mapping[str, Any], Caller], Awaitable[str]]
    about: str = ""  # what it does, for people
    asks: bool = True
    enabled: bool = False
    seconds: float = SECONDS
    most_chars: int = RESULT_CHARS

    @property
    def fingerprint(self) -> str:
        """Returns a hash of the tool's definition and title. An approval is valid for one fingerprint."""
        return _hash({**self._definition, "title": self.title})

    @property
    def former_fingerprint(self) -> str:
        """Returns the fingerprint in the form of version 0.1. Approvals of that version are still valid."""
        return _hash(self._definition)

    @property
    def _definition(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "description": self.description,
            "parameters": dict(self.parameters),
        }


def _hash(definition: Mapping[str, Any]) -> str:
    return sha256(orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)).hexdigest()


def tool_of(
    function: Callable[..., Any],
    *,
    title: str = "",
    about: str = "",
    asks: bool = True,
    enabled: bool = False,
    **more: Any,
) -> Tool:
    """Returns the tool of a function with a typed signature. Its name is the function's, and its description
    is the docstring. The types of parameters are str, int, float, bool, Literal, lists of these, and `|
    None`. A parameter of the type `Caller` gets the caller. A function that is not asynchronous runs on a
    thread.

    Raises `TypeError` for a parameter without one of these types."""
    signature = inspect.signature(function, eval_str=True)
    annotations = {
        name: it.annotation for name, it in signature.parameters.items() if it.annotation is not it.empty
    }
    properties: dict[str, Any] = {}
    required: list[str] = []
    caller_name = ""
    for name, parameter in inspect.signature(function).parameters.items():
        if annotations.get(name) is Caller:
            caller_name = name
            continue
        if name not in annotations:
            raise TypeError(f"The parameter {name!r} of the tool {function.__name__!r} has no type.")
        properties[name] = schema_of(annotations[name])
        if parameter.default is inspect.Parameter.empty:
            required.append(name)
    schema = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }

    async def run(arguments: Mapping[str, Any], caller: Caller) -> str:
        values = _checked(arguments, properties, required)
        if caller_name:
            values[caller_name] = caller
        if inspect.iscoroutinefunction(function):
            return str(await function(**values))
        from chat.tools.threads import on_a_thread

        return str(await on_a_thread(function, values))

    description = inspect.getdoc(function) or ""
    name = function.__name__
    title = title or name.replace("_", " ").capitalize()
    return Tool(name, title, description, schema, run, about, asks=asks, enabled=enabled, **more)


_TYPES: dict[object, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_PYTHON = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "null": type(None),
}


def schema_of(annotation: Any) -> dict[str, Any]:
    """Returns the JSON Schema of a type. Raises `TypeError` for a type that `tool_of` does not support."""
    if annotation in _TYPES:
        return {"type": _TYPES[annotation]}
    if get_origin(annotation) is Literal:
        return {"type": "string", "enum": list(get_args(annotation))}
    if get_origin(annotation) is list:
        return {"type": "array", "items": schema_of(*get_args(annotation))}
    if get_origin(annotation) in (Union, types.UnionType):
        return {"anyOf": [schema_of(one) for one in get_args(annotation)]}
    if annotation is type(None):
        return {"type": "null"}
    raise TypeError(f"{annotation!r} has no JSON Schema here.")


def _checked(
    arguments: Mapping[str, Any], properties: Mapping[str, Any], required: list[str]
) -> dict[str, Any]:
    """Returns a copy of the arguments. Raises `ToolError` if they do not follow the schema."""
    if unknown := [name for name in arguments if name not in properties]:
        raise ToolError(f"The tool has no parameter {unknown[0]!r}. It has: {', '.join(properties)}.")
    if missing := [name for name in required if name not in arguments]:
        raise ToolError(f"The parameter {missing[0]!r} is missing.")
    for name, value in arguments.items():
        if not _fits(value, properties[name]):
            raise ToolError(
                f"The parameter {name!r} has the wrong type: {orjson.dumps(properties[name]).decode()}."
            )
    return dict(arguments)


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    if "anyOf" in schema:
        return any(_fits(value, one) for one in schema["anyOf"])
    if isinstance(value, bool) and schema["type"] != "boolean":
        return False
    if not isinstance(value, _PYTHON[schema["type"]]):  # type: ignore[arg-type]
        return False
    if schema["type"] == "array":
        return all(_fits(item, schema["items"]) for item in value)
    return "enum" not in schema or value in schema["enum"]
