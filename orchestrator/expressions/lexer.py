"""jq's lexer, complete enough to find every name that a program uses.

The rules are those of jq 1.8's `lexer.l`. It refuses a comment whose line ends in a backslash,
which versions of jq read differently, and a NUL, at which C ends the text; so the tokens are what
libjq compiles. All brackets and strings are closed at the end, so the program can safely stand in
parentheses.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from orchestrator.expressions.errors import ExpressionError


class TokenKind(StrEnum):
    """The kind of a token."""

    NAME = "name"  # a function's name or a keyword
    FIELD = "field"  # .name
    VARIABLE = "variable"  # $name
    NUMBER = "number"
    STRING = "string"  # a whole string without interpolation; text is what is between the quotes
    TEXT = "text"  # a piece of a string with interpolation
    FORMAT = "format"  # @json
    SIGN = "sign"  # anything else


class Token(NamedTuple):
    """A token of a program; `offset` is its position in the text."""

    kind: TokenKind
    text: str
    offset: int


_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
  | (?P<comment>\#[^\n]*)
  | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
  | (?P<sign>\.\.|\?//|\|=|//=|[+\-*/%!=<>]=|//|[.?=;,:|+\-*/%<>()\[\]{}])
  | (?P<variable>\$[ \t\r\n]*(?:[A-Za-z_][A-Za-z_0-9]*::)*[A-Za-z_][A-Za-z_0-9]*)
  | (?P<name>(?:[A-Za-z_][A-Za-z_0-9]*::)*[A-Za-z_][A-Za-z_0-9]*)
  | (?P<format>@[A-Za-z0-9_]+)
  | (?P<quote>")
    """,
    re.VERBOSE,
)
_FIELD = re.compile(r"\.[A-Za-z_][A-Za-z_0-9]*")
_TEXT = re.compile(r'(?:[^"\\]|\\[^(])*')
_CLOSES = {")": "(", "]": "[", "}": "{"}


def tokens(program: str) -> list[Token]:
    """Return the tokens of a program. Raise `ExpressionError` if it cannot be jq."""
    return _Lexer(program).run()


class _Lexer:
    def __init__(self, program: str) -> None:
        self.program = program
        self.offset = 0
        self.tokens: list[Token] = []
        self.open_brackets: list[str] = []  # brackets; '"' for an interpolation within a string

    def run(self) -> list[Token]:
        while self.offset < len(self.program):
            self._next()
        if self.open_brackets:
            raise ExpressionError(f"{_named(self.open_brackets[-1])} is not closed")
        return self.tokens

    def _next(self) -> None:
        field = _FIELD.match(self.program, self.offset)
        if field:
            self._add(TokenKind.FIELD, field.group()[1:], field.end())
            return
        match = _TOKEN.match(self.program, self.offset)
        if match is None:
            raise ExpressionError(
                f"unexpected character {self.program[self.offset]!r} at offset {self.offset}"
            )
        kind, text, end = match.lastgroup or "", match.group(), match.end()
        if kind == "quote":
            self._string(end, whole=True)
        elif kind == "comment":
            self._comment(text, end)
        elif kind == "sign":
            self._sign(text, end)
        elif kind == "variable":
            self._add(TokenKind.VARIABLE, text[1:].strip(), end)
        elif kind == "space":
            self.offset = end
        else:
            self._add(TokenKind(kind), text, end)

    def _add(self, kind: TokenKind, text: str, end: int) -> None:
        self.tokens.append(Token(kind, text, self.offset))
        self.offset = end

    def _comment(self, text: str, end: int) -> None:
        if text.rstrip("\r").endswith("\\"):
            raise ExpressionError("a comment cannot go on after its line")
        self.offset = end

    def _sign(self, text: str, end: int) -> None:
        if text in ("(", "[", "{"):
            self.open_brackets.append(text)
        elif text in _CLOSES:
            self._close(text, end)
            return
        self._add(TokenKind.SIGN, text, end)

    def _close(self, text: str, end: int) -> None:
        opener = self.open_brackets.pop() if self.open_brackets else None
        if text == ")" and opener == '"':
            self._add(TokenKind.SIGN, text, end)
            self._string(end, whole=False)
        elif opener == _CLOSES[text]:
            self._add(TokenKind.SIGN, text, end)
        else:
            raise ExpressionError(f"'{text}' at offset {self.offset} closes nothing")

    def _string(self, start: int, whole: bool) -> None:
        """Read a string from `start` to its end or to an interpolation."""
        match = _TEXT.match(self.program, start)
        end = match.end() if match else start
        text = self.program[start:end]
        if self.program.startswith('"', end):
            self._add(TokenKind.STRING if whole else TokenKind.TEXT, text, end + 1)
        elif self.program.startswith("\\(", end):
            self._add(TokenKind.TEXT, text, end + 2)
            self.open_brackets.append('"')
            self.tokens.append(Token(TokenKind.SIGN, "(", end + 1))
        else:
            raise ExpressionError("a string is not closed")


def _named(opener: str) -> str:
    return "an interpolation in a string" if opener == '"' else f"'{opener}'"
