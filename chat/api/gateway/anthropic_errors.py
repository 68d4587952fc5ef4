"""Errors in the form of Anthropic's API."""

from __future__ import annotations

from typing import Any

from chat.api.gateway.failures import FailureError

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error_body(failure: FailureError) -> dict[str, Any]:
    kind = _TYPES.get(failure.status, "invalid_request_error" if failure.status < 500 else "api_error")
    message = failure.message
    if failure.code:  # Anthropic's own errors have only a type
        return {"type": "error", "error": {"type": kind, "message": message, "code": failure.code}}
    return {"type": "error", "error": {"type": kind, "message": message}}
