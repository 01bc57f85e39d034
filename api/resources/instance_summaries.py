"""Instances as a list shows them: their current steps, their error, and why they stand where they
stand. What is read does not grow with the page's rows: two statements, and two for each level of
open sub-workflows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.http.app_state import state
from api.resources import serializers
from api.resources.cause_tones import CALM, tone, tone_of_end, worst
from api.resources.wait_reason_messages import Cause
from orchestrator.core.engine_version import SUPPORTED
from orchestrator.core.model import ENDED_STATUSES
from orchestrator.core.retry_policy import policy_of
from orchestrator.database.instances import summary_queries
from orchestrator.database.instances.instance_queries import Summary
from orchestrator.database.instances.summary_queries import CurrentStep, Standing
from orchestrator.errors import NotFound, OrchestratorError

#: Levels of sub-workflows whose alarms show in an instance.
_DEPTH = 4
#: Seconds after which a due timer means that no beat runs.
_OVERDUE = 10


def summaries_json(rows: Sequence[Summary]) -> list[dict[str, Any]]:
    """Return instances without their payloads, with `steps`, `why`, `error` and `changed_at`."""
    reading = _Reading.of([row.id for row in rows])
    return [{**serializers.summary_json(row), **reading.of_instance(row)} for row in rows]


def standing_json(row: Summary) -> dict[str, Any]:
    """Return `steps`, `why` and `changed_at` of one instance."""
    found = _Reading.of([row.id]).of_instance(row)
    return {name: found[name] for name in ("steps", "why", "changed_at")}


@dataclass
class _Reading:
    """What was read of the instances of a page and of their open sub-workflows."""

    standings: dict[str, Standing] = field(default_factory=dict)
    steps: dict[str, list[CurrentStep]] = field(default_factory=dict)

    @classmethod
    def of(cls, ids: Sequence[str]) -> _Reading:
        services, made = state().services, cls()
        database, settings = services.database, services.settings
        for _ in range(_DEPTH):
            ids = [id for id in dict.fromkeys(ids) if id not in made.standings]
            if not ids:
                break
            made.standings |= summary_queries.standings(
                database, ids, settings.lease, settings.control_queue
            )
            steps = summary_queries.current_steps(database, ids, settings.lease)
            made.steps |= steps
            ids = [step.child for each in steps.values() for step in each if step.child]
        return made

    def of_instance(self, row: Summary) -> dict[str, Any]:
        """Return what a summary has beside the instance's own row."""
        found = self.standings.get(row.id)
        if found is None:  # removed meanwhile
            return {"steps": [], "why": None, "error": None, "changed_at": None}
        return {
            "steps": [self._step_json(found, step) for step in self.steps.get(row.id, ())],
            "why": self._why(found),
            "error": _error_json(found),
            "changed_at": found.changed_at,
        }

    def _step_json(self, found: Standing, step: CurrentStep) -> dict[str, Any]:
        tries = step.retries is not None
        return {
            "step": step.step,
            "name": serializers.name(step.reference),
            "reference": step.reference,
            "attempt": (step.retries or 0) + 1 if tries else step.attempt,
            "max": _most_tries(found.workflow_id, step.retried) if tries else None,
            "retry_at": step.due_at if step.timer == "retry" else None,
        }

    def _why(self, found: Standing) -> dict[str, Any]:
        causes = worst(self._causes(found)) or [_final(found)]
        first = causes[0]
        return {
            "kind": first["kind"],
            "message": first["message"],
            "tone": first["tone"],
            "until": first.get("until"),
            "step": first.get("step"),
            "more": len(causes) - 1,
        }

    def _causes(self, found: Standing, depth: int = 0) -> Iterator[Cause]:
        """Yield the causes of an instance's waiting, each with its tone."""
        for cause in (*_of_instance(found), *self._of_steps(found, depth)):
            yield {"tone": tone(cause["kind"], cause.get("since"), found.now), **cause}

    def _of_steps(self, found: Standing, depth: int) -> Iterator[Cause]:
        if found.status == "suspended":
            return
        for step in self.steps.get(found.id, ()):
            cause = _of_step(found, step)
            if step.child is not None and step.attempt is None:
                cause = self._of_child(step.child, depth)
            if cause is not None:
                yield {**cause, "step": step.step}

    def _of_child(self, child: str, depth: int) -> Cause | None:
        """Return that a sub-workflow is awaited, with its most urgent cause."""
        found = self.standings.get(child)
        if found is None or depth >= _DEPTH:
            return {"kind": "workflow", "message": "Waits for its sub-workflow", "tone": CALM}
        causes = worst(self._causes(found, depth + 1)) or [_final(found)]
        first = causes[0]
        message = f"Waits for its sub-workflow, which is {found.status}"
        if first["tone"] != CALM:
            message += f": {first['message']}"
        return {"kind": "workflow", "message": message, "tone": first["tone"]}


def _error_json(found: Standing) -> dict[str, Any] | None:
    if found.error_type is None and found.error_title is None and found.error_detail is None:
        return None
    status = found.error_status
    return {
        "type": found.error_type,
        "title": found.error_title,
        "status": int(status) if status and status.isdecimal() else None,
        "detail": found.error_detail,
        "instance": found.error_instance,
    }


def _of_instance(found: Standing) -> Iterator[Cause]:
    """Yield the causes that concern the instance as a whole."""
    is_open = found.status not in ENDED_STATUSES
    if found.letters:
        name = serializers.name(found.letter_reference or "") or f"step {found.letter_step}"
        message = f"{name} gave up: {found.letter_text}"
        yield {
            "kind": "dead-letter",
            "message": message,
            "step": found.letter_step,
            "since": found.letter_at,
        }
    if is_open and found.engine not in SUPPORTED:
        yield {"kind": "engine", "message": "Needs workers of another release"}
    if found.status == "suspended":
        by = f" by {found.suspended_by}" if found.suspended_by else ""
        reason = f": {found.reason}" if found.reason else ""
        message = f"Suspended{by}{reason}"
        yield {"kind": "suspended", "message": message, "since": found.suspended_at}
    if found.compensation == "running":
        done, rest = found.undone or 0, found.to_undo or 0
        yield {"kind": "compensating", "message": f"Undoing: {done} of {done + rest}"}
    if found.waiting and (is_open or found.compensation == "running"):
        yield from _inbox(found)


def _inbox(found: Standing) -> Iterator[Cause]:
    """Yield what keeps the stimuli of an instance waiting. Those of a suspended one may wait."""
    if found.deferred:
        yield {"kind": "stuck", "message": f"{found.deferred} stimuli can't be applied"}
    elif found.status != "suspended" and not found.control:
        yield {"kind": "no-control", "message": _waiting(found), "since": found.since}
    elif found.status != "suspended":
        yield {"kind": "inbox", "message": "On its way", "since": found.since}


def _waiting(found: Standing) -> str:
    waits = "One stimulus waits" if found.waiting == 1 else f"{found.waiting} stimuli wait"
    return f"{waits}, no control worker"


def _of_step(found: Standing, step: CurrentStep) -> Cause | None:
    """Return what a current step waits for; None: nothing that is known."""
    if step.attempt is not None:
        return _of_call(step)
    if step.timer is not None and step.due_at is not None:
        return _of_timer(found, step)
    if step.types is not None:
        types = ", ".join(each for each in step.types if each) or "any event"
        return {
            "kind": "event",
            "message": f"Waits for the event {types}",
            "since": step.started_at,
        }
    return None


def _of_timer(found: Standing, step: CurrentStep) -> Cause:
    assert step.due_at is not None  # noqa: S101  its caller has looked
    if (found.now - step.due_at).total_seconds() > _OVERDUE:
        message = f"Was due at {step.due_at:%Y-%m-%d %H:%M:%S} UTC, no beat runs"
        return {"kind": "no-beat", "message": message, "until": step.due_at}
    if step.timer == "retry":
        most = _most_tries(found.workflow_id, step.retried) if step.retried else None
        number = (step.retries or 0) + 1
        of = f" {number} of {most}" if most else f" {number}" if step.retried else ""
        error = f": {step.last_error}" if step.last_error else ""
        return {"kind": "retry", "message": f"Retry{of}{error}", "until": step.due_at}
    message = f"Until {step.due_at:%Y-%m-%d %H:%M:%S} UTC"
    return {"kind": "timer", "message": message, "until": step.due_at}


def _of_call(step: CurrentStep) -> Cause:
    since = step.claimed_at or step.published_at or step.created_at
    if step.state == "claimed":
        kind, message = _claimed(step)
    else:
        kind, message = _unclaimed(step)
    return {"kind": kind, "message": message, "since": since}


def _claimed(step: CurrentStep) -> tuple[str, str]:
    if step.silent:
        return "silent-worker", f"{step.worker} is silent"
    if not step.in_flight:
        return "lease", f"{step.worker} no longer runs {step.task}"
    if step.withdrawn:
        return "withdrawn", f"Withdrawn, {step.task} still runs on {step.worker}"
    return "running", f"Runs on {step.worker}"


def _unclaimed(step: CurrentStep) -> tuple[str, str]:
    if not step.serving:
        return "no-worker", f"No live worker serves the queue {step.queue}"
    if not step.knowing:
        return "no-task", f"No worker has the task {step.task}"
    if not step.able:
        return "no-processes", (
            f"{step.task} needs a worker of processes; those of {step.queue} run threads"
        )
    if not step.free:
        return "no-slot", f"All slots of {step.queue} are taken"
    return ("delivery" if step.published_at else "unpublished"), "On its way"


def _final(found: Standing) -> Cause:
    """Return how an instance has ended, or that it moves."""
    if found.status not in ENDED_STATUSES or found.compensation == "running":
        return {"kind": "moving", "message": "Moving", "tone": CALM}
    end = tone_of_end(found.status, found.compensation)
    parts = (found.error_title or found.error_type, found.error_detail)
    message = ": ".join(part for part in parts if part) or found.status.capitalize()
    return {"kind": "ended", "message": message, "tone": end}


def _most_tries(workflow: str, reference: str | None) -> int | None:
    """Return how often a `try` may run, retries included; None: no bound is known."""
    if reference is None:
        return None
    try:
        found = state().services.workflows.get(workflow)
        catch = found.task(reference).body.get("catch") or {}
        policy = policy_of(catch.get("retry"), found.use)
    except (NotFound, OrchestratorError):
        return None
    return None if policy is None or policy.count is None else policy.count + 1
