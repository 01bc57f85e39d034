"""Repairs of inconsistencies. Where the core can repair, it does so by stimuli."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from orchestrator.core import parent_report
from orchestrator.core.model import Compensation, Status, StimulusKind
from orchestrator.core.task_plan import workflow_plan
from orchestrator.database.operations import consistency_repairs as statements
from orchestrator.database.operations.consistency_checks import Row
from orchestrator.database.workers.unclaimed_attempts import PublishableAttempt
from orchestrator.doctor.examination import Examination
from orchestrator.error_handler.loss_reasons import WORKER_DIED
from orchestrator.errors import ERROR_TYPES, Conflict, NotFound
from orchestrator.scheduler.maintenance_store import PostgresMaintenanceStore
from orchestrator.scheduler.schedules import schedule_management

BY = "doctor"
LOST = {
    "type": ERROR_TYPES + "runtime",
    "status": 500,
    "title": "Attempt lost",
    "detail": WORKER_DIED,
}
VANISHED = {
    "type": ERROR_TYPES + "runtime",
    "status": 500,
    "title": "Sub-workflow lost",
    "detail": "the sub-workflow that the step waited for does not exist any more",
}


def by_statement(statement: str) -> Callable[[Examination, list[Row]], None]:
    """Return a repair that runs one guarded statement for each row."""

    def repair(examination: Examination, rows: list[Row]) -> None:
        for row in rows:
            statements.run(examination.services.database, statement, row)

    return repair


def send_again(examination: Examination, rows: list[Row]) -> None:
    """Publish attempts again. A surplus message has no effect."""
    examination.services.dispatcher.publish(
        PublishableAttempt(
            row.subject,
            str(row.instance),
            int(row.step or 0),
            row.about["task"],
            row.about["queue"],
            row.about["priority"],
            row.about["time_limit"],
        )
        for row in rows
    )


def report_lost(examination: Examination, rows: list[Row]) -> None:
    """Report attempts as lost. A silent worker may be alive behind an outage: its attempts are
    spared if it sends a heartbeat within one lease."""
    silent = {
        row.about["worker_id"]: row.about["heartbeat_count"]
        for row in rows
        if row.about.get("silent")
    }
    if silent:
        examination.wait_one_lease()
    database = examination.services.database
    alive = {
        id for id, count in silent.items() if statements.heartbeat_count(database, id) != count
    }
    for row in rows:
        if row.about.get("worker_id") not in alive or not row.about.get("silent"):
            instance, step = str(row.instance), int(row.step or 0)
            examination.stimuli_sent.add(instance)
            examination.services.state.report_lost_attempt(row.subject, instance, step, LOST)


def fire_timers(examination: Examination, _: list[Row]) -> None:
    """Fire all timers that are due, as a beat does."""
    store = PostgresMaintenanceStore(examination.services.database)
    while fired := store.fire_timers():
        examination.services.dispatcher.hint(*fired)


def move_starts(examination: Examination, _: list[Row]) -> None:
    """Move submitted starts out of the outbox."""
    services = examination.services
    while (moved := services.outbox.move()).count:
        services.dispatcher.hint(*moved.instances)


def fire_schedules(examination: Examination, _: list[Row]) -> None:
    """Fire the schedules that are due, as a beat does."""
    store = PostgresMaintenanceStore(examination.services.database)
    while (fired := store.fire_schedules()).schedules:
        examination.services.dispatcher.hint(*fired.instances_to_hint)


def schedule_next(examination: Examination, rows: list[Row]) -> None:
    """Let schedules continue from now on, as after a pause."""
    for row in rows:
        try:
            with examination.services.database.transaction() as cursor:
                schedule_management.pause(cursor, row.about["id"])
                schedule_management.resume(cursor, row.about["id"])
        except (NotFound, Conflict):
            continue  # it was deleted or stopped meanwhile


def serve_queue(examination: Examination, rows: list[Row]) -> None:
    """Let a live worker that has the task serve the queue as well, by Celery's remote control,
    which not every worker has. The worker serves it until it stops."""
    for row in rows:
        worker, queue = row.about["able"], row.about["queue"]
        if not row.about["repairable"] or not examination.broker:
            continue
        answers = examination.app.control.add_consumer(
            queue, destination=[worker], reply=True, timeout=3
        )
        if any(answer.get(worker, {}).get("ok") for answer in answers or ()):
            statements.record_served_queue(examination.services.database, worker, queue)


def reconcile(examination: Examination, rows: list[Row]) -> None:
    """Let the core restore what an instance waits for; see `core.commands.reconciliation`."""
    steps: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        instance = str(row.instance)
        if row.about.get("by") and row.step is not None:
            _resend_child_report(examination, row)
        elif row.about.get("begun") is False and row.about.get("flow") == "pending":
            examination.send_stimulus(instance, StimulusKind.START, {"by": BY}, key="doctor:start")
        else:
            steps[instance] += [row.step] if row.step is not None else []
    for instance, numbers in steps.items():
        data = {"command": "reconcile", "steps": numbers, "by": BY}
        examination.send_stimulus(instance, StimulusKind.COMMAND, data, key="doctor:reconcile")


def _resend_child_report(examination: Examination, row: Row) -> None:
    """Send the lost report of a sub-workflow again, or report that the sub-workflow is missing."""
    child = row.about.get("child")
    if row.about["kind"] == "child_compensation" and child and child["compensation"] == "none":
        command = {"command": "compensate", "reply": row.step, "reason": "the parent undoes it"}
        examination.send_stimulus(
            child["id"], StimulusKind.COMMAND, command, key=f"doctor:undo:{row.step}"
        )
        return
    retry_run = row.about.get("retry_run")
    if row.about["kind"] == "run" and child and retry_run is not None:
        command = {"command": "retry", "retry_run": retry_run, "step": row.step, "by": BY}
        examination.send_stimulus(
            child["id"], StimulusKind.COMMAND, command, key=f"doctor:retry:{row.step}:{retry_run}"
        )
        return
    if row.about["kind"] == "child_compensation":
        data: dict[str, Any] = {"compensated": child["compensation"] if child else "failed"}
    elif child:
        names = ("status", "output", "error", "run", "compensation")
        data = {name: child[name] for name in names}
        if _is_uncompensated(examination, child):
            data["held"] = True
    else:
        data = {"status": "faulted", "error": VANISHED}
        if retry_run is not None:
            data["retry_run"] = retry_run
    key = f"doctor:child:{row.step}"
    examination.send_stimulus(str(row.instance), StimulusKind.CHILD, data, row.step, key)


def _is_uncompensated(examination: Examination, child: dict[str, Any]) -> bool:
    workflow = examination.services.state.workflows.get(child["workflow_id"])
    state = Status(child["status"]), Compensation(child["compensation"])
    return parent_report.is_uncompensated(workflow_plan(workflow), *state)


def process_inboxes(examination: Examination, rows: list[Row]) -> None:
    """Apply the stimuli in the inboxes, in this process."""
    for row in rows:
        examination.services.state.process_inbox(str(row.instance))


def match(examination: Examination, rows: list[Row]) -> None:
    """Match events with listeners, in this process."""
    for row in rows:
        examination.services.events.match(row.subject)
