"""Errors that end a management command, in words for operators."""

from __future__ import annotations


class StartError(Exception):
    """The server cannot start. `str(error)` says what is wrong and what to do. `code` is the exit code: 2 for
    a wrong setting or argument, 1 for an external fault that may be fixed a moment later."""

    def __init__(self, words: str, *, code: int = 1) -> None:
        super().__init__(words)
        self.code = code
