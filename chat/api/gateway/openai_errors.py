"""Errors in the form of OpenAI's APIs."""

from __future__ import annotations

from typing import Any

from chat.api.gateway.failures import FailureError

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {"unauthenticated": "invalid_api_key", "context_length": "context_length_exceeded"}


def error_body(failure: FailureError) -> dict[str, Any]:
    kind = _TYPES.get(failure.status, "invalid_request_error" if failure.status < 500 else "server_error")
    code = _CODES.get(failure.code, failure.code) or None
    return {"error": {"message": failure.message, "type": kind, "param": failure.param, "code": code}}
