"""The core's values as Postgres takes them."""

from __future__ import annotations

from orchestrator.core.model import Json
from orchestrator.json_codec import dumps


def to_json(value: Json) -> str | None:
    """JSON text; None is null."""
    return None if value is None else dumps(value)


def member(column: str, name: str) -> str:
    """SQL: a member of a ``json`` column as text. Postgres reads no member of a value that holds
    a NUL anywhere, so that is replaced first; six characters by six keep the value JSON."""
    return f"({_readable(column)} ->> '{name}')"


def inner_member(column: str, outer: str, name: str) -> str:
    """SQL: as `member`, of an object that is a member itself."""
    return f"({_readable(column)} -> '{outer}' ->> '{name}')"


def _readable(column: str) -> str:
    return rf"replace({column}::text, '\u0000', '\u2400')::json"


def error_text(column: str) -> str:
    """SQL: what an error says, its detail or else its title."""
    return f"coalesce({member(column, 'detail')}, {member(column, 'title')})"


def to_text(value: str | None) -> str | None:
    """A text as Postgres takes it, which knows no NUL."""
    return None if value is None else value.replace("\0", "\N{SYMBOL FOR NULL}")
