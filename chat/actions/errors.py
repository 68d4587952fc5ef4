"""Reasons why an action is refused, in words for the user who asked for it.

    ActionError               status  code
    ├── InvalidInputError     400     invalid_input     empty, wrong type, unknown choice
    ├── TooLongError          413     too_long          over a length limit
    ├── ConflictError         409     conflict          not possible in the present state
    │   └── MismatchError     409     idempotency_mismatch   the same key for another request
    └── LimitReachedError     429     limit_reached     too many at the same time

An object that does not exist for this user raises `chat.access.NotFoundError` (404).
"""

from __future__ import annotations


class ActionError(Exception):
    """`words` are English, with {names} for `values`. The code that shows them to a user translates them
    first. `status` is the HTTP status for programs."""

    status = 400
    code = "invalid_input"

    def __init__(self, words: str, **values: object) -> None:
        super().__init__(words.format(**values) if values else words)
        self.words, self.values = words, values


class InvalidInputError(ActionError):
    pass


class TooLongError(ActionError):
    status = 413
    code = "too_long"


class ConflictError(ActionError):
    status = 409
    code = "conflict"


class MismatchError(ConflictError):
    code = "idempotency_mismatch"


class LimitReachedError(ActionError):
    status = 429
    code = "limit_reached"
