"""Reasons why a request of a program is refused, each with an HTTP status, a stable code and a sentence.

The JSON API sends them as `application/problem+json` (RFC 9457), the gateway in the form of the API that it
speaks.

    status  code                  when
    400     invalid_input         a field is missing, has a wrong type or an unknown value
    401     unauthenticated       no token, or one that is unknown, revoked or expired
    403     missing_scope         the token may not be used for this
    404     not_found             it does not exist for this user
    405     method_not_allowed    not with this method: see Allow
    409     conflict              not possible in the present state
    409     idempotency_mismatch  the same key for another request
    413     too_long              over a length limit
    429     limit_reached         too many at the same time
    429     rate_limited          too many requests in a short time: see Retry-After
    500     internal              a defect: the server's log has the details
    503     unavailable           the database does not answer, or the server stops
    507     storage               the storage of the server cannot be written
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus

from django.db import DatabaseError
from django.utils.translation import gettext

from chat.access import NotFoundError
from chat.actions.errors import ActionError
from chat.actor import LoggedOutError, ScopeError
from chat.rendering.words import in_words

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """`detail` is a sentence for people, in the language of the request."""

    status: int
    code: str
    detail: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return HTTPStatus(self.status).phrase

    def as_json(self) -> dict[str, object]:
        """Returns the body, as RFC 9457 describes it."""
        return {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }


class ProblemError(Exception):
    """Refuses the request."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


# What `problem_of` knows. Other exceptions are defects.
KNOWN = (ProblemError, LoggedOutError, ScopeError, NotFoundError, ActionError, DatabaseError)


def problem_of(error: Exception) -> Problem:
    """Returns the problem of an exception of `KNOWN`, in the active language."""
    match error:
        case ProblemError():
            return error.problem
        case LoggedOutError():
            words = gettext("This needs a valid API token: Authorization: Bearer sty_...")
            return Problem(401, "unauthenticated", words, {"WWW-Authenticate": 'Bearer realm="Steady"'})
        case ScopeError():
            words = gettext(
                "This token may not be used for this. A token with the scope “{scope}” is needed."
            )
            challenge = f'Bearer realm="Steady", error="insufficient_scope", scope="{error.scope.value}"'
            headers = {"WWW-Authenticate": challenge}
            return Problem(403, "missing_scope", words.format(scope=error.scope.value), headers)
        case NotFoundError():
            return Problem(404, "not_found", in_words(error))
        case ActionError():
            headers = {"Retry-After": "5"} if error.status == 429 else {}
            return Problem(error.status, error.code, in_words(error), headers)
        case _:
            words = gettext("The server cannot reach its database. Try again in a moment.")
            return Problem(503, "unavailable", words, {"Retry-After": "5"})
