"""A history row as sentences. Everything said is in the row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def tell(entry: Mapping[str, Any]) -> Iterator[str]:
    """One line for each fact of a transition: number, time, what happened to what."""
    facts = entry.get("facts") or []
    for fact in facts:
        yield f"{entry['sequence']:>4}  {clock(entry)}  {sentence(fact)}"


def clock(entry: Mapping[str, Any]) -> str:
    """The time of day of a transition, to the millisecond."""
    return str(entry["at"])[11:23]


def sentence(fact: Mapping[str, Any]) -> str:
    """A fact in words: its type and the step's place."""
    data = fact.get("data") or {}
    place = data.get("reference") or data.get("ref") or fact.get("reference") or ""
    return " ".join(str(part) for part in (fact["type"], place) if part)
