"""What mends ailments. State changes only through the core, by stimuli that it takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from orchestrator.cli.doctor.examination import Examination
from orchestrator.core.model import StimulusKind
from orchestrator.database.operations import consistency_repairs as statements
from orchestrator.database.operations.consistency_checks import Row
from orchestrator.database.workers.unclaimed_attempts import PublishableAttempt
from orchestrator.errors import ERROR_TYPES, Conflict, NotFound
from orchestrator.scheduler.maintenance_store import PostgresMaintenanceStore
from orchestrator.scheduler.schedules import schedule_management

BY = "doctor"
LOST = {
    "type": ERROR_TYPES + "runtime",
    "status": 500,
    "title": "Attempt lost",
    "detail": "the worker that ran the step is gone",
}
VANISHED = {
    "type": ERROR_TYPES + "runtime",
    "status": 500,
    "title": "Sub-workflow lost",
    "detail": "the sub-workflow that was awaited is not there any more",
}


def by_statement(statement: str) -> Callable[[Examination, list[Row]], None]:
    """A remedy that is one guarded statement a row."""

    def mend(ward: Examination, rows: list[Row]) -> None:
        for row in rows:
            statements.run(ward.services.database, statement, row)

    return mend


def send_again(ward: Examination, rows: list[Row]) -> None:
    """Publish attempts again: a message too many changes nothing."""
    ward.services.dispatcher.publish(
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


def report_lost(ward: Examination, rows: list[Row]) -> None:
    """Count attempts as lost. A worker that is only silent may live behind an outage: it has
    one lease to be heard of."""
    silent = {row.about["worker_id"]: row.about["beat"] for row in rows if row.about.get("silent")}
    if silent:
        ward.wait_one_lease()
    database = ward.services.database
    alive = {id for id, beat in silent.items() if statements.heartbeat_count(database, id) != beat}
    for row in rows:
        if row.about.get("worker_id") not in alive or not row.about.get("silent"):
            instance, step = str(row.instance), int(row.step or 0)
            ward.stimuli_sent.add(instance)
            ward.services.state.report_lost_attempt(row.subject, instance, step, LOST)


def fire_timers(ward: Examination, _: list[Row]) -> None:
    """Fire whatever is due, as a beat does."""
    upkeep = PostgresMaintenanceStore(ward.services.database)
    while fired := upkeep.fire_timers():
        ward.services.dispatcher.hint(*fired)


def fire_schedules(ward: Examination, _: list[Row]) -> None:
    """Fire the schedules that are due, as a beat does."""
    upkeep = PostgresMaintenanceStore(ward.services.database)
    while (fired := upkeep.fire_schedules()).schedules:
        ward.services.dispatcher.hint(*fired.hints)


def schedule_next(ward: Examination, rows: list[Row]) -> None:
    """Let schedules go on from now, as after a pause."""
    for row in rows:
        try:
            with ward.services.database.transaction() as cursor:
                schedule_management.pause(cursor, row.about["id"])
                schedule_management.resume(cursor, row.about["id"])
        except (NotFound, Conflict):
            continue  # it is gone, or stopped, since


def serve(ward: Examination, rows: list[Row]) -> None:
    """Tell a live worker that has the task to serve the queue as well, by Celery's remote
    control. It does until it ends."""
    for row in rows:
        worker, queue = row.about["able"], row.about["queue"]
        if worker is None or not ward.broker:
            continue
        answers = ward.app.control.add_consumer(queue, destination=[worker], reply=True, timeout=3)
        if any(answer.get(worker, {}).get("ok") for answer in answers or ()):
            statements.record_served_queue(ward.services.database, worker, queue)


def reconcile(ward: Examination, rows: list[Row]) -> None:
    """Have the core make anew what an instance waited for; see `core.commands.mending`."""
    steps: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        instance = str(row.instance)
        if row.about.get("by") and row.step is not None:
            _resend_child_report(ward, row)
        elif row.about.get("begun") is False and row.about.get("flow") == "pending":
            ward.message_for(instance, StimulusKind.START, {"by": BY}, key="doctor:start")
        else:
            steps[instance] += [row.step] if row.step is not None else []
    for instance, named in steps.items():
        data = {"command": "mend", "steps": named, "by": BY}
        ward.message_for(instance, StimulusKind.COMMAND, data, key="doctor:mend")


def _resend_child_report(ward: Examination, row: Row) -> None:
    """The report of a sub-workflow is lost: it is told again, or that it is not there."""
    child = row.about.get("child")
    if row.about["kind"] == "undo" and child and child["compensation"] == "none":
        asked = {"command": "compensate", "reply": row.step, "reason": "the parent undoes it"}
        ward.message_for(child["id"], StimulusKind.COMMAND, asked, key=f"doctor:undo:{row.step}")
        return
    ask = row.about.get("ask")
    if row.about["kind"] == "run" and child and ask is not None:
        asked = {"command": "retry", "ask": ask, "step": row.step, "by": BY}
        ward.message_for(
            child["id"], StimulusKind.COMMAND, asked, key=f"doctor:ask:{row.step}:{ask}"
        )
        return
    if row.about["kind"] == "undo":
        data: dict[str, Any] = {"compensated": child["compensation"] if child else "failed"}
    elif child:
        names = ("status", "output", "error", "run", "compensation")
        data = {name: child[name] for name in names}
    else:
        data = {"status": "faulted", "error": VANISHED}
        if ask is not None:
            data["ask"] = ask
    key = f"doctor:child:{row.step}"
    ward.message_for(str(row.instance), StimulusKind.CHILD, data, row.step, key)


def process_inboxes(ward: Examination, rows: list[Row]) -> None:
    """Bring what waits in the inboxes, here and now."""
    for row in rows:
        ward.services.state.process_inbox(str(row.instance))


def match(ward: Examination, rows: list[Row]) -> None:
    """Match events here and now."""
    for row in rows:
        ward.services.events.match(row.subject)
