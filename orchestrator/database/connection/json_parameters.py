"""The core's values as Postgres accepts them, and SQL that reads members of JSON."""

from __future__ import annotations

from orchestrator.core.model import Json
from orchestrator.json_codec import dumps


def to_json(value: Json) -> str | None:
    """Return JSON text; None becomes null."""
    return None if value is None else dumps(value)


def member(column: str, name: str) -> str:
    """Return SQL for a member of a ``json`` column as text.

    Postgres reads no member of a value that contains a NUL anywhere, so NULs are replaced first;
    the replacement has six characters too, so that the value stays JSON.
    """
    return f"({readable(column)} ->> '{name}')"


def inner_member(column: str, outer: str, name: str) -> str:
    """Return SQL as `member` does, for a member of an object that is itself the member `outer`."""
    return f"({readable(column)} -> '{outer}' ->> '{name}')"


def readable(column: str) -> str:
    """Return SQL for a ``json`` column without NULs, so that Postgres reads its members."""
    return rf"replace({column}::text, '\u0000', '\u2400')::json"


def error_text(column: str) -> str:
    """Return SQL for the text of an error: its detail, otherwise its title."""
    return f"coalesce({member(column, 'detail')}, {member(column, 'title')})"


def to_text(value: str | None) -> str | None:
    """Return a text as Postgres accepts it: without NUL."""
    return None if value is None else value.replace("\0", "\N{SYMBOL FOR NULL}")
