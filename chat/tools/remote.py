"""MCP servers over streamable HTTP: their tools, and the calls of these.

An administrator chooses a server, but its responses are not trusted. The number of bytes, the time and the
size of each definition are limited. Its instructions are ignored. Its schemas are not applied to values,
because a regular expression in a schema could block the interpreter.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from math import isfinite
from typing import Any

from chat.parts import storable
from chat.tools.base import Caller, Tool, ToolError
from chat.translatable import translatable as _

MOST_TOOLS = 200
MOST_SCHEMA_BYTES = 30_000
_MOST_TYPES = 20  # of one value, of which JSON has seven
DESCRIPTION_CHARS = 4_000
TITLE_CHARS = 80
NAME_CHARS = 64
_BETWEEN = "__"  # a server's short name and the name of its tool

WORDS = {
    "unreachable": _("The server cannot be reached."),
    "slow": _("The server did not answer in time."),
    "credentials": _("The server refused the credentials."),
    "nothing": _("There is no MCP server at this address."),
    "redirect": _("The server redirects to another address. This is not followed."),
    "large": _("The server sent too much. The connection was closed."),
    "protocol": _("The server did not answer as an MCP server does."),
    "token": _("The server for access tokens did not return one."),
}


class ServerError(ToolError):
    """An MCP server failed. `code` is a key of `WORDS`; `detail` is the server's own message."""

    def __init__(self, code: str, detail: str = "") -> None:
        self.code, self.detail = code, printable(detail, 300)
        super().__init__(f"{WORDS[code]} {self.detail}".strip())


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """An OAuth client, which requests access tokens for itself at `token_url` (RFC 6749, section 4.4)."""

    token_url: str = ""
    client_id: str = ""
    secret: str = field(default="", repr=False)
    scope: str = ""

    def __bool__(self) -> bool:
        return bool(self.token_url)


@dataclass(frozen=True, slots=True)
class Server:
    """The address and credentials of an MCP server. The names of its tools begin with `slug`. `seconds`
    limits one call."""

    slug: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    credentials: ClientCredentials = field(default_factory=ClientCredentials)
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class ListedTool:
    """A tool as its server describes it. Models use `name`, the server uses `own_name`. `fault` says why it
    cannot be used."""

    name: str
    own_name: str
    title: str
    description: str
    parameters: Mapping[str, Any]
    fault: str = ""


async def list_tools(server: Server) -> list[ListedTool]:
    """Returns the tools of a server, at most `MOST_TOOLS`. Raises `ServerError`."""
    session = await _session()
    try:
        async with asyncio.timeout(server.seconds):
            found = await session.list_tools(server, MOST_TOOLS)
    except TimeoutError:
        raise ServerError("slow") from None
    return await asyncio.to_thread(_listed_tools, server.slug, found)


def remote_tool(server: Server, name: str, definition: Mapping[str, Any], title: str) -> Tool:
    """Returns the tool of a definition that an administrator approved."""

    async def run(arguments: Mapping[str, Any], caller: Caller) -> str:
        session = await _session()
        text: str = await session.call_tool(server, definition["own_name"], dict(arguments))
        return text

    return Tool(
        name,
        title,
        definition["description"],
        definition["parameters"],
        run,
        seconds=server.seconds,
    )


def fingerprint_of(listed: ListedTool) -> str:
    """Returns a hash of the tool's definition, as it is sent to the model and the server."""
    definition = [listed.name, listed.own_name, listed.description, listed.parameters]
    return sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()


def printable(text: str, most: int) -> str:
    """Returns at most `most` characters of a server's text, without characters that hide or reverse text."""
    kept = "".join(char for char in text[: most * 4] if char.isprintable() or char in "\n\t")
    return kept.strip() if len(kept) <= most else f"{kept[: most - 1].strip()}…"


async def _session() -> Any:
    """Returns the module `mcp_session`. Its first import takes more than a second of CPU time, on a
    thread."""
    return await asyncio.to_thread(importlib.import_module, "chat.tools.mcp_session")


def _listed_tools(slug: str, found: list[tuple[str, str, str, Any]]) -> list[ListedTool]:
    listed: dict[str, ListedTool] = {}
    for name, title, description, schema in found:
        tool = _listed_tool(slug, name, title, description, schema)
        listed.setdefault(tool.name, tool)
    return list(listed.values())


def _listed_tool(slug: str, own_name: str, title: str, description: str, schema: Any) -> ListedTool:
    fault = ""
    parameters: dict[str, Any] = {"type": "object", "properties": {}}
    if not own_name or len(own_name) > 200 or not own_name.isprintable():
        fault = _("It has no usable name.")
    elif not isinstance(schema, dict) or schema.get("type", "object") != "object":
        fault = _("Its parameters are not an object.")
    elif len(json.dumps(schema)) > MOST_SCHEMA_BYTES:
        fault = _("The description of its parameters is too long.")
    elif not _is_schema(schema):
        fault = _("The description of its parameters is not a JSON Schema.")
    else:
        parameters = {**_storable(schema), "type": "object"}
        parameters.setdefault("properties", {})
    return ListedTool(
        _model_name(slug, own_name),
        printable(own_name, 200),
        printable(" ".join(title.split()), TITLE_CHARS),
        printable(description, DESCRIPTION_CHARS),
        parameters,
        fault,
    )


def _model_name(slug: str, own_name: str) -> str:
    """Returns a name that all providers accept. A changed name ends with a hash, so that names stay
    unique."""
    plain = f"{slug}{_BETWEEN}{re.sub(r'[^a-zA-Z0-9_-]', '_', own_name)}"
    if plain == f"{slug}{_BETWEEN}{own_name}" and len(plain) <= NAME_CHARS:
        return plain
    mark = sha256(own_name.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{plain[: NAME_CHARS - 9]}_{mark}"


def _is_schema(schema: dict[str, Any]) -> bool:
    """Returns whether the schema is valid by the meta schema. The schema itself is not applied."""
    from jsonschema import Draft202012Validator  # imported on use, with the package `mcp`

    try:
        # The check compares each of them with each other one.
        if any(isinstance(types, list) and len(types) > _MOST_TYPES for types in _values_of(schema, "type")):
            return False
        Draft202012Validator.check_schema(schema)
    except Exception:  # noqa: BLE001  (it compiles patterns, which raises OverflowError and more)
        return False
    return all(str(ref).startswith("#") for ref in _values_of(schema, "$ref"))


def _values_of(value: Any, name: str) -> list[Any]:
    """Returns the values of this name in objects at any depth."""
    if isinstance(value, dict):
        own = [value[name]] if name in value else []
        return own + [found for one in value.values() for found in _values_of(one, name)]
    if isinstance(value, list):
        return [found for one in value for found in _values_of(one, name)]
    return []


def _storable(value: Any) -> Any:
    """Returns the value with texts, names and numbers that every database stores."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, dict):
        return {storable(name): _storable(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_storable(one) for one in value]
    return value
