"""How an attempt ended, as JSON and back: for the inbox, for history and for a step's `state`."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.model import AttemptEnd, AttemptState, Json


def end_to_json(end: AttemptEnd) -> dict[str, Json]:
    """Return ``{"attempt", "state"}`` and the other fields that are set, without the traceback:
    the attempt's row holds that."""
    record: dict[str, Json] = {"attempt": end.attempt, "state": end.state.value}
    for name in ("output", "error", "retry_in", "arguments", "replacement"):
        if (value := getattr(end, name)) is not None:
            record[name] = value
    if end.outcome_unknown:
        record["unknown"] = True
    if end.leaves_chain:
        record["leaves_chain"] = True
    return record


def end_from_json(record: Mapping[str, Json]) -> AttemptEnd:
    """Read what `end_to_json` returned. The inbox adds ``traceback``."""
    return AttemptEnd(
        attempt=record["attempt"],
        state=AttemptState(record["state"]),
        output=record.get("output"),
        error=record.get("error"),
        traceback=record.get("traceback"),
        retry_in=record.get("retry_in"),
        outcome_unknown=record.get("unknown", False),
        arguments=record.get("arguments"),
        leaves_chain=record.get("leaves_chain", False),
        replacement=record.get("replacement"),
    )
