"""Pygments' lexers, driven faster.

Most are tables of regular expressions, of which Pygments tries one after the other in Python: about 15 calls
for a token of Python code. Here the expressions of a state are one alternation, which the engine tries by
itself; in both the first that matches wins, so the tokens are the same (the tests compare them), for half the
time. Lexers that are more than a table run as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pygments.lexer import Lexer, RegexLexer
from pygments.token import Error, Whitespace, _TokenType

type Tokens = Iterator[tuple[_TokenType, str]]
type _Table = dict[str, list[tuple[Any, Any, Any]]]


def tokens(lexer: Lexer, text: str) -> Tokens:
    """What `lexer.get_tokens` gives for clean text that ends with a newline."""
    runs = type(lexer).get_tokens_unprocessed
    if isinstance(lexer, RegexLexer) and runs is RegexLexer.get_tokens_unprocessed:
        return _tokens(lexer, _states(lexer._tokens), text)  # type: ignore[attr-defined]
    return ((token, value) for _, token, value in lexer.get_tokens_unprocessed(text))


class _Rule(NamedTuple):
    """One line of a lexer's table, as Pygments has compiled it."""

    match: Callable[[str, int], re.Match[str] | None]
    action: Any  # a token type, a function of the lexer and the match, or None
    move: Any  # to another state: how many to leave, or which to enter

    @property
    def expression(self) -> re.Pattern[str]:
        return self.match.__self__  # type: ignore[attr-defined, no-any-return]


class _Choice(NamedTuple):
    """Rules as one expression; each by the number of the empty group that ends it."""

    match: Callable[[str, int], re.Match[str] | None]
    rules: dict[int, _Rule]


class _States(dict[str, list[_Choice]]):
    """A lexer's table, each state compiled when it is first entered."""

    def __init__(self, table: _Table) -> None:
        self.table = table

    def __missing__(self, state: str) -> list[_Choice]:
        choices: list[list[_Rule]] = []
        for rule in map(_Rule._make, self.table[state]):
            if not choices or _REFERS.search(rule.expression.pattern):
                choices.append([])
            choices[-1].append(rule)
        self[state] = list(map(_choice, choices))
        return self[state]


# An expression that names groups or refers to them by number keeps its numbers as the first of a choice.
_REFERS = re.compile(r"\\[1-9]|\(\?P|\(\?\(")
_FLAGS = {"a": re.ASCII, "i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}
_GLOBAL_FLAGS = re.compile(r"\A(?:\(\?[aimsux]+\))+")


# By the identity of the table, which aliases of a lexer share and which is kept for good.
_COMPILED: dict[int, _States] = {}


def _states(table: _Table) -> _States:
    return _COMPILED.get(id(table)) or _COMPILED.setdefault(id(table), _States(table))


def _choice(rules: list[_Rule]) -> _Choice:
    expressions: list[str] = []
    by_group: dict[int, _Rule] = {}
    groups = 0
    for rule in rules:
        flags = "".join(flag for flag, value in _FLAGS.items() if rule.expression.flags & value)
        inner = _GLOBAL_FLAGS.sub("", rule.expression.pattern)
        expressions.append(f"(?{flags}:{inner}\n)()" if "x" in flags else f"(?{flags}:{inner})()")
        groups += rule.expression.groups + 1
        by_group[groups] = rule
    return _Choice(re.compile("|".join(expressions)).match, by_group)


def _tokens(lexer: RegexLexer, states: _States, text: str) -> Tokens:
    stack = ["root"]
    choices = states["root"]
    pos = 0
    while True:
        for choice in choices:
            if found := choice.match(text, pos):
                break
        else:
            if pos >= len(text):
                return
            if text[pos] == "\n":
                stack = ["root"]
                choices = states["root"]
            yield Whitespace if text[pos] == "\n" else Error, text[pos]
            pos += 1
            continue
        own_match, action, move = choice.rules[found.lastindex or 0]
        end = found.end()
        if action.__class__ is _TokenType:
            yield action, text[pos:end]
        elif action is not None:
            yield from ((token, value) for _, token, value in action(lexer, own_match(text, pos)))
        pos = end
        if move is not None:
            _move(stack, move)
            choices = states[stack[-1]]


def _move(stack: list[str], move: Any) -> None:
    """Pygments' rules: the last state is never left."""
    if isinstance(move, int):
        del stack[max(1, len(stack) + move) :]
        return
    for state in move if isinstance(move, tuple) else (move,):
        if state == "#pop":
            del stack[max(1, len(stack) - 1) :]
        else:
            stack.append(stack[-1] if state == "#push" else state)
