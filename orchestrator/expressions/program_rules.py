"""The rules for programs: their bounds, the forbidden names, the variables that they use.

An expression of a workflow can read its arguments and nothing else: not the environment, other
inputs, files or streams of the process. It cannot end the process.
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
"""Functions and keywords that reach outside the expression. `now` is allowed: it is the
transition's time. `debug` and `stderr` are allowed: they return their input and write nothing."""


@dataclass(frozen=True, slots=True)
class Program:
    """An allowed program. `variables` are the names after a `$`, including those that the program
    binds; `uses_now` says whether it calls `now`."""

    text: str
    tokens: tuple[Token, ...]
    depth: int
    variables: frozenset[str]
    uses_now: bool


def read(text: str) -> Program:
    """Read a program. Raise `ForbiddenExpression` for a forbidden name, `ExpressionError` if it
    exceeds a bound or is not jq."""
    _bound_text(text)
    program_tokens = tuple(tokens(text))
    if not program_tokens:
        raise ExpressionError("the expression is empty")
    if len(program_tokens) > MAX_TOKENS:
        raise ExpressionError(
            f"the expression has {len(program_tokens)} parts; the limit is {MAX_TOKENS}"
        )
    depth = _depth(program_tokens)
    if depth > MAX_DEPTH:
        raise ExpressionError(f"the expression nests {depth} brackets; the limit is {MAX_DEPTH}")
    _refuse_forbidden(program_tokens)
    return Program(
        text=text,
        tokens=program_tokens,
        depth=depth,
        variables=frozenset(
            token.text for token in program_tokens if token.kind is TokenKind.VARIABLE
        ),
        uses_now=any(
            token.kind is TokenKind.NAME and token.text == "now" for token in program_tokens
        ),
    )


def _bound_text(text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"the expression has {len(text)} characters; the limit is {MAX_LENGTH}"
        )
    if "\0" in text:
        raise ExpressionError("the expression contains a NUL character")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ExpressionError("the expression contains half of a surrogate pair")


def _depth(program_tokens: tuple[Token, ...]) -> int:
    depth = deepest = 0
    for token in program_tokens:
        if token.kind is TokenKind.SIGN:
            depth += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
            deepest = max(deepest, depth)
    return deepest


def _refuse_forbidden(program_tokens: tuple[Token, ...]) -> None:
    brackets: list[str] = []
    for index, token in enumerate(program_tokens):
        if token.kind is TokenKind.SIGN:
            _follow(brackets, token.text)
        elif token.kind is TokenKind.VARIABLE and _is_forbidden_variable(token.text):
            raise ForbiddenExpression(f"${token.text} may not be used in an expression")
        elif _is_forbidden_name(token) and not _is_key(program_tokens, index, brackets):
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


def _is_key(program_tokens: tuple[Token, ...], index: int, brackets: list[str]) -> bool:
    """Whether this name is a key of an object, `{input: 1}` or `{input}`, and not a function.

    `{env}` would be harmless, too, but looks like an access to the environment; it is refused.
    """
    after = program_tokens[index + 1].text if index + 1 < len(program_tokens) else ""
    if after == ":":
        return True
    before = program_tokens[index - 1].text if index else ""
    shorthand = brackets[-1:] == ["{"] and before in ("{", ",") and after in (",", "}")
    return shorthand and program_tokens[index].text != "env"
