"""The reference page of the API, made from its OpenAPI document. It loads nothing from other hosts."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from chat.api.json_api import api


@require_safe
def reference(request: HttpRequest) -> HttpResponse:
    """Shows each operation with its parameters, fields and examples. Contains nothing of the installation."""
    return render(request, "chat/api_reference.html", {"sections": _sections(), "version": api.version})


@cache
def _sections() -> list[dict[str, Any]]:
    """Returns the operations of each tag, in the order of the document."""
    document = api.get_openapi_schema()
    schemas = document["components"]["schemas"]
    sections: dict[str, list[dict[str, Any]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            shown = {
                "id": operation["operationId"],
                "method": method.upper(),
                "path": path,
                "summary": operation["summary"],
                "description": " ".join(operation.get("description", "").split()),
                "parameters": operation["parameters"],
                "body": _fields(body.get("schema", {}), schemas),
                "example": _example(body.get("schema", {}), schemas),
                "responses": [
                    (status, *_response(response, schemas))
                    for status, response in operation["responses"].items()
                    if int(status) < 400
                ],
            }
            sections.setdefault(operation["tags"][0], []).append(shown)
    return [{"name": name, "operations": operations} for name, operations in sections.items()]


def _response(response: dict[str, Any], schemas: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    return response["description"], _fields(schema, schemas)


def _fields(schema: dict[str, Any], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    schema = _resolved(schema, schemas)
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "type": _type(field),
            "description": field.get("description", ""),
            "is_required": name in required,
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _type(field: dict[str, Any]) -> str:
    """Returns the type in words, such as `list of Message` or `string or null`."""
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "anyOf" in field:
        return " or ".join(_type(each) for each in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    return str(field.get("format") or field.get("type", "any"))


def _example(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    examples = _resolved(schema, schemas).get("examples", [])
    return orjson.dumps(examples[0], option=orjson.OPT_INDENT_2).decode() if examples else ""


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    found: dict[str, Any] = schemas.get(name, schema)
    return found
