"""What a program may be: its bounds, the names it may not use, the variables it asks for.

A workflow's expression sees its arguments and nothing else: not the environment, not other
inputs, not files, not the streams of the process; and it cannot end the process.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.expressions.errors import ExpressionError, ForbiddenExpression
from orchestrator.expressions.lexer import Token, TokenKind, tokens

MAX_LENGTH = 64 * 1024  # characters
MAX_TOKENS = 10_000
MAX_DEPTH = 200  # brackets within brackets
NOW_VARIABLE = "__now"

FORBIDDEN = frozenset(
    {
        "env",
        "get_jq_origin",
        "get_prog_origin",
        "get_search_list",
        "halt",
        "halt_error",
        "import",
        "include",
        "input",
        "input_filename",
        "input_line_number",
        "inputs",
        "module",
        "modulemeta",
    }
)
"""Functions and keywords that reach out of the expression. `now` is allowed: it is the
transition's time. So are `debug` and `stderr`, which pass their input on and show it nowhere."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that may run. `variables` are the names after a `$`, those that it binds
    itself included; `uses_now` says that it calls `now`."""

    text: str
    tokens: tuple[Token, ...]
    depth: int
    variables: frozenset[str]
    uses_now: bool


def read(text: str) -> Program:
    """Read a program. Raises `ForbiddenExpression` for what it may not use, `ExpressionError`
    for what exceeds a bound or is no jq."""
    _bound_text(text)
    found = tuple(tokens(text))
    if not found:
        raise ExpressionError("the expression is empty")
    if len(found) > MAX_TOKENS:
        raise ExpressionError(f"the expression has {len(found)} parts, {MAX_TOKENS} are the limit")
    depth = _depth(found)
    if depth > MAX_DEPTH:
        raise ExpressionError(f"the expression nests {depth} brackets, {MAX_DEPTH} are the limit")
    _refuse_forbidden(found)
    return Program(
        text=text,
        tokens=found,
        depth=depth,
        variables=frozenset(token.text for token in found if token.kind is TokenKind.VARIABLE),
        uses_now=any(token.kind is TokenKind.NAME and token.text == "now" for token in found),
    )


def _bound_text(text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"the expression has {len(text)} characters, {MAX_LENGTH} are the limit"
        )
    if "\0" in text:
        raise ExpressionError("the expression contains a NUL character")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ExpressionError("the expression contains half of a surrogate pair")


def _depth(found: tuple[Token, ...]) -> int:
    depth = deepest = 0
    for token in found:
        if token.kind is TokenKind.SIGN:
            depth += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
            deepest = max(deepest, depth)
    return deepest


def _refuse_forbidden(found: tuple[Token, ...]) -> None:
    brackets: list[str] = []
    for index, token in enumerate(found):
        if token.kind is TokenKind.SIGN:
            _follow(brackets, token.text)
        elif token.kind is TokenKind.VARIABLE and _is_forbidden_variable(token.text):
            raise ForbiddenExpression(f"${token.text} may not be used in an expression")
        elif _is_forbidden_name(token) and not _is_key(found, index, brackets):
            raise ForbiddenExpression(f"'{token.text}' may not be used in an expression")


def _follow(brackets: list[str], sign: str) -> None:
    if sign in ("(", "[", "{"):
        brackets.append(sign)
    elif sign in (")", "]", "}"):
        brackets.pop()


def _is_forbidden_variable(name: str) -> bool:
    return name == "ENV" or "::" in name or (name.startswith("__") and name != "__loc__")


def _is_forbidden_name(token: Token) -> bool:
    return token.kind is TokenKind.NAME and (token.text in FORBIDDEN or "::" in token.text)


def _is_key(found: tuple[Token, ...], index: int, brackets: list[str]) -> bool:
    """Is this name the key of an object, `{input: 1}` or `{input}`, and so not a function?

    `{env}` would be harmless too, but reads as if it were not; it is refused.
    """
    after = found[index + 1].text if index + 1 < len(found) else ""
    if after == ":":
        return True
    before = found[index - 1].text if index else ""
    shorthand = brackets[-1:] == ["{"] and before in ("{", ",") and after in (",", "}")
    return shorthand and found[index].text != "env"
