"""Reads JSON (RFC 8259), strictly, with the position of every value.

The reader of the standard library drops positions, accepts NaN and keeps the last of two equal
keys. This one passes over the tokens once, without recursion.
"""

from __future__ import annotations

import re
from json.decoder import scanstring  # type: ignore[attr-defined]  # the stubs forget it
from typing import NoReturn

from orchestrator.document.message_text import short
from orchestrator.document.parser.open_values import AnchoredValue
from orchestrator.document.parser.value_builder import Builder
from orchestrator.document.parser.yaml_scalars import InvalidScalar, decimal, integer
from orchestrator.document.source_positions import Position

_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
    (?P<sign>[\[\]{}:,])
  | (?P<quote>")
  | (?P<float>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)(?![0-9.a-zA-Z]))
  | (?P<integer>-?(?:0|[1-9][0-9]*)(?![0-9.a-zA-Z]))
  | (?P<word>true|false|null)(?![0-9a-zA-Z])
    )""",
    re.VERBOSE,
)
_SPACE = re.compile(r"[ \t\r\n]*")
_JUNK = re.compile(r"[\w.+-]+|.|\Z", re.DOTALL)
_WORDS = {"true": True, "false": False, "null": None}

# The states of the JSON reader. Each state says which tokens may come next.
_VALUE, _FIRST_ITEM, _FIRST_KEY, _KEY, _COLON, _AFTER, _END = range(7)
_EXPECTED = (
    "a value",
    "a value or ']'",
    "a key or '}'",
    "a key",
    "':'",
    "',' or the end of the {}",
    "nothing more",
)


def read(text: str) -> AnchoredValue:
    """Return the value of a JSON text with its positions. Raise `MalformedDocument`."""
    return _Reader(text).read()


class _Reader:
    """One pass over a text. `brackets` are the open ones; `state` says which token may come
    next."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.offset = 0
        self.build = Builder()
        self.brackets: list[str] = []
        self.state = _VALUE
        self.line = 1
        self.line_start = 0
        self.counted = 0  # how far lines are counted

    def read(self) -> AnchoredValue:
        root: AnchoredValue | None = None
        while self.state != _END:
            match = _TOKEN.match(self.text, self.offset)
            if match is None or match.lastgroup is None:
                self._unexpected()
            start = match.start(match.lastgroup)
            root = self._consume(match.lastgroup, match[match.lastgroup], start, match.end())
        space = _SPACE.match(self.text, self.offset)
        if root is None or space is None or space.end() != len(self.text):
            self._unexpected()
        return root

    def _consume(self, kind: str, token: str, start: int, end: int) -> AnchoredValue | None:
        """Consume one token; return the value that it completes, if any."""
        if kind == "sign":
            return self._on_bracket(token, start, end)
        if kind == "quote":
            return self._string(start, end)
        if self.state not in (_VALUE, _FIRST_ITEM):
            self._unexpected()
        self.offset = end
        return self._scalar(kind, token, self._position_at(start))

    def _on_bracket(self, sign: str, start: int, end: int) -> AnchoredValue | None:
        at = self._position_at(start)
        if sign in "[{" and self.state in (_VALUE, _FIRST_ITEM):
            self._open(sign, at)
        elif sign in "]}" and self._may_close(sign):
            self.offset = end
            self.brackets.pop()
            return self._done(self.build.close())
        elif sign == ":" and self.state == _COLON:
            self.state = _VALUE
        elif sign == "," and self.state == _AFTER:
            self.state = _KEY if self.brackets[-1] == "{" else _VALUE
        else:
            self._unexpected()
        self.offset = end
        return None

    def _open(self, sign: str, at: Position) -> None:
        self.brackets.append(sign)
        if sign == "{":
            self.build.open_mapping(at)
            self.state = _FIRST_KEY
        else:
            self.build.open_list(at)
            self.state = _FIRST_ITEM

    def _may_close(self, sign: str) -> bool:
        if not self.brackets:
            return False
        if sign == "]":
            return self.brackets[-1] == "[" and self.state in (_FIRST_ITEM, _AFTER)
        return self.brackets[-1] == "{" and self.state in (_FIRST_KEY, _AFTER)

    def _string(self, start: int, end: int) -> AnchoredValue | None:
        if self.state not in (_VALUE, _FIRST_ITEM, _FIRST_KEY, _KEY):
            self._unexpected()
        at = self._position_at(start)
        try:
            value, self.offset = scanstring(self.text, end, True)
        except ValueError as error:
            self._fail(f"not JSON: {_message(error)}", at)
        if self.state in (_FIRST_KEY, _KEY):
            self.build.key(value, at)
            self.state = _COLON
            return None
        return self._done(self.build.scalar(value, at))

    def _scalar(self, kind: str, token: str, at: Position) -> AnchoredValue:
        try:
            if kind == "word":
                value: bool | int | float | None = _WORDS[token]
            else:
                value = integer(token) if kind == "integer" else decimal(token)
        except InvalidScalar as error:
            self._fail(str(error), at)
        return self._done(self.build.scalar(value, at))

    def _done(self, value: AnchoredValue) -> AnchoredValue:
        self.state = _AFTER if self.brackets else _END
        return value

    def _position_at(self, index: int) -> Position:
        """Return the line and column of an index, which must be behind all earlier ones."""
        newlines = self.text.count("\n", self.counted, index)
        if newlines:
            self.line += newlines
            self.line_start = self.text.rindex("\n", self.counted, index) + 1
        self.counted = index
        return self.line, index - self.line_start + 1

    def _unexpected(self) -> NoReturn:
        space = _SPACE.match(self.text, self.offset)
        start = space.end() if space is not None else self.offset
        if not self.text.strip(" \t\r\n"):
            self._fail("the document is empty", (1, 1))
        junk = _JUNK.match(self.text, start)
        token = junk.group() if junk is not None else ""
        actual = f"'{short(token)}'" if token else "the end"
        self._fail(f"not JSON: {_EXPECTED[self.state]} is expected here, not {actual}",
                   self._position_at(start))  # fmt: skip

    def _fail(self, message: str, at: Position) -> NoReturn:
        self.build.fail(message, at)


def _message(error: ValueError) -> str:
    """Return the standard library's error text without its position."""
    message = str(error).partition(":")[0]
    return message[:1].lower() + message[1:].removesuffix(" at").removesuffix(" starting at")
