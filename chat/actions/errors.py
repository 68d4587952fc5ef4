"""Why an action was refused, in words for the person who asked.

    ActionError               status  code
    ├── InvalidInputError     400     invalid_input     empty, wrong type, unknown choice
    ├── TooLongError          413     too_long          over a limit of length
    ├── ConflictError         409     conflict          not possible in the present state
    └── LimitReachedError     429     limit_reached     too many at once

What does not exist for this person is `chat.access.NotFoundError` (404).
"""

from __future__ import annotations


class ActionError(Exception):
    """`words` are English, with {names} for `values`; what shows them to a person translates them first.
    `status` is the HTTP status that programs get."""

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


class LimitReachedError(ActionError):
    status = 429
    code = "limit_reached"
