"""The core's values as Postgres takes them."""

from __future__ import annotations

from orchestrator.codec import dumps
from orchestrator.core.values import Json


def to_json(value: Json) -> str | None:
    """JSON text; None is null."""
    return None if value is None else dumps(value)


def to_text(value: str | None) -> str | None:
    """A text as Postgres takes it, which knows no NUL."""
    return None if value is None else value.replace("\0", "\N{SYMBOL FOR NULL}")
