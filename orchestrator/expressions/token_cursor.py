"""Reads the tokens of a program one by one."""

from __future__ import annotations

from orchestrator.expressions.lexer import Token, TokenKind

_END = Token(TokenKind.SIGN, "", -1)


class Unsupported(Exception):
    """The fast path does not support the program."""


class TokenCursor:
    """A position in a program's tokens. Raises `Unsupported` for an unexpected token."""

    def __init__(self, tokens: tuple[Token, ...]) -> None:
        self.tokens = tokens
        self.index = 0

    def at_end(self) -> bool:
        """Whether all tokens are consumed."""
        return self.index == len(self.tokens)

    def peek(self, ahead: int = 0) -> Token:
        """Return the token at a distance, without consuming it."""
        index = self.index + ahead
        return self.tokens[index] if index < len(self.tokens) else _END

    def peek_sign(self, sign: str) -> bool:
        """Whether the next token is this sign."""
        return self.peek().kind is TokenKind.SIGN and self.peek().text == sign

    def next(self, kind: TokenKind | None = None) -> Token:
        """Consume and return the next token, which must be of this kind."""
        token = self.peek()
        if token is _END or (kind is not None and token.kind is not kind):
            raise Unsupported
        self.index += 1
        return token

    def consume(self, sign: str) -> bool:
        """Consume the next token if it is this sign; return whether it is."""
        matches = self.peek_sign(sign)
        self.index += matches
        return matches

    def consume_name(self, name: str) -> bool:
        """Consume the next token if it is this name; return whether it is."""
        matches = self.peek().kind is TokenKind.NAME and self.peek().text == name
        self.index += matches
        return matches

    def expect(self, sign: str) -> None:
        """Consume this sign."""
        if not self.consume(sign):
            raise Unsupported
