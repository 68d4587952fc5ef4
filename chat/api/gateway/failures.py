"""Errors of the gateway, before they take the form of an API."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db import DatabaseError

from chat.access import NoSuchModelError
from chat.api.problems import KNOWN, problem_of
from chat.generation.call_queue import MOST_SECONDS
from chat.generation.calls import CallEndedError
from chat.providers import errors
from chat.providers.errors import ProviderError

logger = logging.getLogger(__name__)

_STATUS: dict[type[ProviderError], int] = {
    errors.ModelNotFoundError: 404,
    errors.InvalidRequestError: 400,
    errors.RateLimitError: 429,
    errors.OverloadedError: 503,
    errors.TimeoutExceededError: 504,
}
_ENDED = {
    "revoked": (401, "The token was revoked or has expired."),
    "restart": (503, "The server is restarting. It ended this call, which the provider may have answered."),
}
QUEUE_RETRY_SECONDS = 30
RESTART_RETRY_SECONDS = 5
NOT_SENT = "The server is restarting. Nothing was sent to the provider. Send the request again."
QUEUE_IS_LONG = (
    "The model's provider takes a limited number of requests at once, and none became free within "
    f"{MOST_SECONDS:.0f} s. Nothing was sent to it. Send the request again later."
)


@dataclass
class FailureError(Exception):
    """`message` is for the program's author, `param` names the field that is wrong. `retry` says whether the
    SDKs may send the request again by themselves; None leaves it to them."""

    status: int
    message: str
    code: str = ""
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    retry: bool | None = None


class GoneError(Exception):
    """The program closed its connection."""


def failure_of(error: Exception, names: Mapping[str, str] | None = None) -> FailureError:
    """Returns the failure of any exception. Logs those that are defects. `names` are the names that the
    options of `ChatRequest` have in the program's API, where they differ."""
    match error:
        case FailureError():
            return error
        case errors.UnsupportedOptionError():
            name = (names or {}).get(error.option, error.option)
            words = f"The provider of this model does not support {name} {error.remark}".strip() + "."
            return FailureError(400, words, error.code, name if error.option.isidentifier() else None)
        case ProviderError():
            return _provider_failure(error)
        case CallEndedError(reason="queue"):
            headers = {"Retry-After": str(QUEUE_RETRY_SECONDS)}
            return FailureError(503, QUEUE_IS_LONG, "line_timeout", headers=headers, retry=True)
        case CallEndedError():
            if not error.was_sent:
                headers = {"Retry-After": str(RESTART_RETRY_SECONDS)}
                return FailureError(503, NOT_SENT, error.reason, headers=headers, retry=True)
            # The provider may have begun to answer: a call that is sent again would be paid twice.
            status, words = _ENDED[error.reason]
            return FailureError(status, words, error.reason, retry=False)
        case NoSuchModelError():
            words = (
                "This model does not exist, or you may not use it. GET /v1/models lists those you may use."
            )
            return FailureError(404, words, "model_not_found", "model")
        case _ if isinstance(error, KNOWN):
            if isinstance(error, DatabaseError):
                logger.error("A request could not be answered: %s", error)
            problem = problem_of(error)
            return FailureError(problem.status, problem.detail, problem.code, headers=dict(problem.headers))
    logger.error("A request of the gateway failed.", exc_info=error)
    return FailureError(500, "Something went wrong in Steady.", "internal", retry=False)


def _provider_failure(error: ProviderError) -> FailureError:
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 502)
    message = str(error)
    if isinstance(error, errors.InvalidRequestError) and error.detail:
        message = error.detail  # about the program's own request
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    # A request that the provider accepted may be billed, so it is not repeated.
    return FailureError(status, message, error.code, headers=headers, retry=error.retryable)
