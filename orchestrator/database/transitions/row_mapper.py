"""Rows of Postgres, as the SQL functions return them in JSON, to the core's values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from orchestrator.core.attempt_end_json import end_from_json
from orchestrator.core.model import (
    Attempt,
    AttemptState,
    Compensation,
    Instance,
    Status,
    Step,
    Stimulus,
    StimulusKind,
)

Row = Mapping[str, Any]

#: How often a decision that takes long is begun for a stimulus. If its processes died each time,
#: what the stimulus concerns faults.
MAX_BEGUN = 2

_STATUSES = {status.value: status for status in Status}
_COMPENSATIONS = {state.value: state for state in Compensation}
_ATTEMPT_STATES = {state.value: state for state in AttemptState}
_TIMES = ("created_at", "started_at", "ended_at")


def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


_INSTANCE, _STEP, _ATTEMPT = _names(Instance), _names(Step), _names(Attempt)


def _time(value: str | datetime | None) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def to_instance(row: Row) -> Instance:
    """Convert a row of ``instances``; columns that the core does not use are left out."""
    values = {name: row[name] for name in _INSTANCE}
    values.update({name: _time(row[name]) for name in _TIMES})
    values["status"] = _STATUSES[row["status"]]
    values["compensation"] = _COMPENSATIONS[row["compensation"]]
    return Instance(**values)


def to_step(row: Row) -> Step:
    """Convert a row of ``steps``."""
    values = {name: row[name] for name in _STEP if name in row}
    values["status"] = _STATUSES[row["status"]]
    values["started_at"] = _time(row["started_at"])
    values["ended_at"] = _time(row["ended_at"])
    return Step(**values)


def to_attempt(row: Row) -> Attempt:
    """Convert a row of ``attempts``."""
    values = {name: row[name] for name in _ATTEMPT}
    values["state"] = _ATTEMPT_STATES[row["state"]]
    return Attempt(**values)


def to_steps(rows: list[Row] | None) -> dict[int, Step]:
    """Convert rows of ``steps``; the keys are their numbers."""
    return {row["id"]: to_step(row) for row in rows or ()}


def to_stimulus(row: Row, at: datetime, seed: int) -> Stimulus:
    """Convert a row of ``stimuli``, with the time and the seed of its transition."""
    kind, data = StimulusKind(row["kind"]), row["data"] or {}
    result = kind is StimulusKind.RESULT
    return Stimulus(
        kind=kind,
        at=at,
        seed=seed,
        step=row["step"],
        data={} if result else data,
        ended=end_from_json(data) if result else None,
        id=row["id"],
        is_undecidable=row.get("begun", 0) >= MAX_BEGUN,
    )
