r"""The fast path: simple programs, evaluated in Python as jq would, a hundred times as fast.

    .a.b[0]    $input.x    .a["b c"]    .count + 1    .kind == "book" and .total > 10
    {id: .id, name: "\(.first) \(.last)"}    .colors + ["red"]    .items | length    .a // 0

The parser turns a program into closures, with jq's precedence, or leaves the whole program to the
sandbox. A closure raises `NotOnFastPath` when jq might differ (an error, a number beyond 2^53, a
type that jq orders or prints in its own way); then the sandbox decides. So this path never raises
an error of its own, and a property test proves its values equal to jq's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.expressions import fast_path_operators as do
from orchestrator.expressions import fast_path_values as values
from orchestrator.expressions.fast_path_growth import multiplies
from orchestrator.expressions.fast_path_operators import Code
from orchestrator.expressions.lexer import Token, TokenKind
from orchestrator.expressions.program_rules import Program
from orchestrator.expressions.token_cursor import TokenCursor, Unsupported

MAX_TOKENS = 100  # bounds the depth of closures in closures
MAX_DEPTH = 12

_ADDITIVE: Mapping[str, values.Operation] = {"+": values.add, "-": values.subtract}
_FACTORS: Mapping[str, values.Operation] = {"*": values.multiply, "/": values.divide}
_COMPARISONS: Mapping[str, values.Operation] = {
    "==": values.equal,
    "!=": values.unequal,
    "<": values.less,
    ">": values.greater,
    "<=": values.at_most,
    ">=": values.at_least,
}
_CONSTANTS: Mapping[str, object] = {"true": True, "false": False, "null": None}
_FUNCTIONS: Mapping[str, Code] = {"not": do.negated, "length": do.length}


def compiled(program: Program) -> Code | None:
    """Return a function `(value, variables) -> result` that equals the program, or None."""
    if len(program.tokens) > MAX_TOKENS or program.depth > MAX_DEPTH:
        return None
    if multiplies(program.tokens):
        return None
    parser = _Parser(program.tokens)
    try:
        code = parser.pipe()
    except Unsupported:
        return None
    return code if parser.at_end() else None


class _Parser(TokenCursor):
    """Recursive descent over the tokens, one method per level of jq's precedence."""

    def pipe(self) -> Code:
        code = self.alternative()
        while self.consume("|"):
            code = do.pipe(code, self.alternative())
        return code

    def alternative(self) -> Code:
        code = self.disjunction()
        return do.alternative(code, self.alternative()) if self.consume("//") else code

    def disjunction(self) -> Code:
        code = self.conjunction()
        while self.consume_name("or"):
            code = do.either(code, self.conjunction())
        return code

    def conjunction(self) -> Code:
        code = self.comparison()
        while self.consume_name("and"):
            code = do.both(code, self.comparison())
        return code

    def comparison(self) -> Code:
        code = self.sum()
        operation = self.operator(_COMPARISONS)
        return do.binary(operation, code, self.sum()) if operation else code

    def sum(self) -> Code:
        return self.left_associative(_ADDITIVE, self.product)

    def product(self) -> Code:
        return self.left_associative(_FACTORS, self.operand)

    def left_associative(
        self, operations: Mapping[str, values.Operation], part: Callable[[], Code]
    ) -> Code:
        code = part()
        while operation := self.operator(operations):
            code = do.binary(operation, code, part())
        return code

    def operand(self) -> Code:
        """Parse a literal, path, object ... and the path behind it."""
        if self.consume("-"):
            return do.constant(_negative(self.next(TokenKind.NUMBER)))
        code, steps = self.term(), []
        while (step := self.step()) is not None:
            steps.append(step)
        return do.path(code, steps) if steps else code

    def term(self) -> Code:
        token = self.next()
        if token.kind is TokenKind.SIGN:
            return self.bracketed(token.text)
        if token.kind is TokenKind.FIELD:
            return do.path(do.identity, [token.text])
        if token.kind is TokenKind.VARIABLE:
            return _variable(token)
        if token.kind is TokenKind.NUMBER:
            return do.constant(_number(token))
        if token.kind is TokenKind.STRING:
            return do.constant(_text(token))
        if token.kind is TokenKind.TEXT:
            return self.interpolation(token)
        return self.named(token)

    def named(self, token: Token) -> Code:
        if token.text in _CONSTANTS:
            return do.constant(_CONSTANTS[token.text])
        if token.text in _FUNCTIONS:
            return _FUNCTIONS[token.text]
        raise Unsupported

    def bracketed(self, sign: str) -> Code:
        if sign == ".":
            return self.from_dot()
        if sign == "(":
            code = self.pipe()
            self.expect(")")
            return code
        if sign == "[":
            return self.array()
        if sign == "{":
            return self.object()
        raise Unsupported

    def from_dot(self) -> Code:
        """Parse `.`, `."a"` or `.[0]`. What follows the dot is not a step of an earlier path."""
        if self.peek().kind is TokenKind.STRING:
            return do.path(do.identity, [_text(self.next())])
        return do.identity

    def step(self) -> do.Step | None:
        """Parse `.a`, `."a"`, `["a"]`, `[0]` or `[$i]`. A `?` changes nothing: an error leaves the
        fast path."""
        key: do.Step | None = None
        if self.peek().kind is TokenKind.FIELD:
            key = self.next().text
        elif self.peek().text == "." and self.peek(1).kind is TokenKind.STRING:
            self.next()
            key = _text(self.next())
        elif self.peek_sign("[") or (self.peek_sign(".") and self.peek(1).text == "["):
            self.consume(".")
            self.expect("[")
            key = do.step(self.pipe())
            self.expect("]")
        if key is not None:
            self.consume("?")
        return key

    def array(self) -> Code:
        if self.consume("]"):
            return do.array([])
        items = [self.pipe()]
        while self.consume(","):
            items.append(self.alternative())
        if len(items) > 1 and self.peek_sign("|"):
            raise Unsupported
        self.expect("]")
        return do.array(items)

    def object(self) -> Code:
        members: dict[str, Code] = {}
        while not self.consume("}"):
            if members:
                self.expect(",")
            key, code = self.member()
            if key in members:
                raise Unsupported
            members[key] = code
        return do.object(members)

    def member(self) -> tuple[str, Code]:
        token = self.next()
        if token.kind not in (TokenKind.NAME, TokenKind.STRING, TokenKind.VARIABLE):
            raise Unsupported
        key = _text(token) if token.kind is TokenKind.STRING else token.text
        if token.kind is not TokenKind.VARIABLE and self.consume(":"):
            return key, self.alternative()
        if token.kind is TokenKind.VARIABLE:
            return key, _variable(token)
        return key, do.path(do.identity, [key])

    def interpolation(self, first: Token) -> Code:
        pieces: list[str | Code] = [_text(first)]
        while self.consume("("):
            pieces.append(self.pipe())
            self.expect(")")
            pieces.append(_text(self.next(TokenKind.TEXT)))
        return do.interpolation(pieces)

    def operator(self, operations: Mapping[str, values.Operation]) -> values.Operation | None:
        token = self.peek()
        operation = operations.get(token.text) if token.kind is TokenKind.SIGN else None
        if operation is not None:
            self.index += 1
        return operation


def _number(token: Token) -> int | float:
    """Return a number that a float represents exactly; jq keeps every digit of other literals."""
    whole, _, fraction = token.text.partition(".")
    if len(token.text) > 15 or not whole.isdigit() or (fraction and not fraction.isdigit()):
        raise Unsupported
    return float(token.text) if fraction else int(whole)


def _negative(token: Token) -> int | float:
    number = _number(token)
    if not number:  # jq has no integer -0
        raise Unsupported
    return -number


def _variable(token: Token) -> Code:
    if token.text == "__loc__":  # jq's own, the place in the program
        raise Unsupported
    return do.variable(token.text)


def _text(token: Token) -> str:
    if "\\" in token.text:
        raise Unsupported
    return token.text
