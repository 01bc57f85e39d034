"""Instances, steps and transitions as JSON of the API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from api.http.resource_blueprint import raw
from orchestrator import json_codec
from orchestrator.core.attempts import idempotency_key
from orchestrator.database.instances.instance_queries import (
    InstanceWithPayloads,
    NewStart,
    Summary,
)
from orchestrator.database.instances.step_queries import AttemptRow, Skip, StepRow, Waiting
from orchestrator.error_handler.loss_reasons import loss_reason
from orchestrator.start_requests.workflow_versions import CachedVersion


def summary_json(row: Summary) -> dict[str, Any]:
    """Return an instance without its payloads."""
    return {
        "id": row.id,
        "business_id": row.business_id,
        "workflow": {"namespace": row.namespace, "name": row.workflow, "version": row.version},
        "status": row.status,
        "compensation": row.compensation,
        "run": row.run,
        "labels": raw(row.labels) or {},
        "created_at": row.created_at,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "pending_commands": row.pending,
        "parent": row.parent_instance
        and {"instance": row.parent_instance, "step": row.parent_step},
    }


def started_json(new: NewStart, version: CachedVersion, at: datetime) -> dict[str, Any]:
    """Return an instance that is being started, without its payloads."""
    return summary_json(
        Summary(
            id=new.id,
            namespace=version.namespace,
            workflow=version.name,
            version=version.version,
            business_id=new.business_id,
            status="pending",
            compensation="none",
            run=1,
            labels=new.labels,
            created_at=at,
            started_at=None,
            ended_at=None,
            pending=0,
            parent_instance=None,
            parent_step=None,
        )
    )


def instance_json(row: InstanceWithPayloads, waiting: Sequence[Waiting]) -> dict[str, Any]:
    """Return an instance with its payloads and what it waits for."""
    return {
        **summary_json(row),
        "input": raw(row.input),
        "output": raw(row.output),
        "error": raw(row.error),
        "context": raw(row.context),
        "waiting_for": [_waiting(step) for step in waiting],
    }


def _waiting(row: Waiting) -> dict[str, Any]:
    value: dict[str, Any] = {
        "kind": row.kind,
        "step": row.step,
        "reference": row.reference,
        "since": row.since,
    }
    if row.timer:
        value |= {"timer": row.timer, "due_at": row.due_at}
    if row.mode:
        value |= {"mode": row.mode, "filters": raw(row.filters)}
    return value


def step_json(
    row: StepRow,
    attempts: Sequence[AttemptRow],
    flower: str | None,
    *,
    instance: str,
    arguments: Any = None,
    skip: Skip | None = None,
    undone_by: int | None = None,
    payloads: bool = True,
) -> dict[str, Any]:
    """Return a step with every attempt.

    `flower`: the URL of Flower, if it is set; `arguments`: those of its call, without secrets;
    `skip`: the command that skipped the step; `undone_by`: the step that undoes it. Without
    `payloads`, what workflows and tasks wrote is left out, but for the beginning of errors.
    """
    payload = {"arguments": arguments, "input": raw(row.input), "output": raw(row.output)}
    return {
        "id": row.id,
        "parent": row.parent,
        "reference": row.reference,
        "name": name(row.reference),
        "kind": row.kind,
        "index": row.index,
        "status": _status(row, attempts),
        "outcome": "unknown" if row.outcome_unknown else None,
        "compensable": row.compensated_by is not None,
        "compensates": row.compensates,
        "undone_by": undone_by,
        "idempotency_key": idempotency_key(instance, row.id, row.call_key)
        if row.kind == "call"
        else None,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "retry_at": row.retry_at,
        "can_retry_now": row.retry_at is not None,
        "child": row.child,
        "skipped": None if skip is None else _skip(skip),
        "error": raw(row.error) if payloads else short_error(row.error),
        "recorded": row.recorded,
        "attempts": [_attempt(attempt, flower, payloads=payloads) for attempt in attempts],
        **(payload if payloads else {}),
    }


#: Most characters of an error's detail in a summary.
SHORT_DETAIL = 300


def short_error(text: str | None) -> dict[str, Any] | None:
    """Return the members of an error that say what it is, with the beginning of its detail."""
    if text is None:
        return None
    error = json_codec.loads(text)
    if not isinstance(error, dict):
        return {"detail": str(error)[:SHORT_DETAIL]}
    short = {name: error[name] for name in ("type", "title", "status") if name in error}
    detail = error.get("detail")
    return short if detail is None else {**short, "detail": str(detail)[:SHORT_DETAIL]}


def _skip(skip: Skip) -> dict[str, Any]:
    command = json_codec.loads(skip.data) if skip.data else {}
    return {"at": skip.at, "by": command.get("by"), "reason": command.get("reason")}


def name(reference: str) -> str:
    """Return the name of the task with this JSON pointer."""
    token = reference.removesuffix("/metadata/compensate").rpartition("/")[2]
    return token.replace("~1", "/").replace("~0", "~")


def _status(row: StepRow, attempts: Sequence[AttemptRow]) -> str:
    """Return the status; that of a call is `pending` until a worker claims its attempt."""
    unclaimed = bool(attempts) and attempts[-1].state == "ready"
    return "pending" if unclaimed and row.status == "running" else row.status


def _attempt(row: AttemptRow, flower: str | None, *, payloads: bool) -> dict[str, Any]:
    error = json_codec.loads(row.error) if row.error else None
    payload = {"progress": raw(row.progress), "traceback": row.traceback}
    return {
        "id": row.id,
        "number": row.number,
        "state": row.state,
        "withdrawn": row.withdrawn,
        "task": row.task,
        "queue": row.queue,
        "priority": row.priority,
        "worker": row.worker,
        "worker_id": row.worker_id,
        "process": row.process,
        "created_at": row.created_at,
        "published_at": row.published_at,
        "claimed_at": row.claimed_at,
        "ended_at": row.ended_at,
        "error": raw(row.error) if payloads else short_error(row.error),
        "because": loss_reason(row.state, error if isinstance(error, dict) else None),
        "late": row.late_at and {"at": row.late_at, "state": row.late_state},
        # Build the link to Flower from the attempt's id, which is the Celery task id.
        "flower_url": f"{flower.rstrip('/')}/task/{row.id}" if flower else None,
        **(payload if payloads else {}),
    }


def transition_json(row: Sequence[Any]) -> dict[str, Any]:
    """Return a row of the history."""
    sequence, at, stimulus, facts = row
    return {
        "sequence": sequence,
        "at": at,
        "stimulus": raw(stimulus),
        "facts": [_fact(*fact) for fact in json_codec.loads(facts)],
    }


def _fact(type: str, step: int | None = None, data: Any = None) -> dict[str, Any]:
    """Return a fact. The database stores it as a short array."""
    return {
        "type": type,
        "step": step,
        "data": None if data is None else raw(json_codec.dumps(data)),
    }
