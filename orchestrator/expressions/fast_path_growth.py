"""How much larger than its input a program's result may be, from its tokens alone.

Python has no bound of memory of its own: `.+. | .+. | ...` doubles its input with every stage. So a
program whose stages multiply is left to the sandbox.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.expressions.lexer import Token, TokenKind

#: Largest number of copies of its input that a program of several stages may make.
MAX_COPIES = 32

_REFERENCES = frozenset({TokenKind.FIELD, TokenKind.VARIABLE, TokenKind.NAME})


def multiplies(tokens: Sequence[Token]) -> bool:
    """Whether the stages of a program multiply their input more than the fast path allows.

    A stage copies its input at most as often as it names it; stages in a row multiply."""
    levels, largest = [_Level()], 1
    for token in tokens:
        level = levels[-1]
        if token.kind in _REFERENCES:
            level.count += 1
        elif token.kind is TokenKind.SIGN:
            if token.text == ".":
                level.count += 1
            elif token.text == "|":
                level.end_stage()
            elif token.text in "([{":
                levels.append(_Level())
            elif token.text in ")]}" and len(levels) > 1:
                levels.pop()
                levels[-1].count += level.end_stage()
        largest = max(largest, level.count)
    return levels[0].end_stage() > max(MAX_COPIES, largest)


class _Level:
    """The stages inside one pair of brackets: the copies so far, and those of the present stage."""

    __slots__ = ("copies", "count")

    def __init__(self) -> None:
        self.copies = 1
        self.count = 0

    def end_stage(self) -> int:
        self.copies *= max(1, self.count)
        self.count = 0
        return self.copies
