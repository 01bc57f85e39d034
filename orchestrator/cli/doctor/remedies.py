"""What mends ailments. State changes only through the core, by stimuli that it takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from orchestrator.cli.doctor.ward import Ward
from orchestrator.core.values import StimulusKind
from orchestrator.database import remedies as statements
from orchestrator.database.ailments import Row
from orchestrator.database.attempts import Ready
from orchestrator.errors import ERROR_TYPES, Conflict, NotFound
from orchestrator.scheduler import schedules
from orchestrator.scheduler.upkeep import PostgresUpkeep

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


def by_statement(statement: str) -> Callable[[Ward, list[Row]], None]:
    """A remedy that is one guarded statement a row."""

    def mend(ward: Ward, rows: list[Row]) -> None:
        for row in rows:
            statements.run(ward.services.database, statement, row)

    return mend


def send_again(ward: Ward, rows: list[Row]) -> None:
    """Publish attempts again: a message too many changes nothing."""
    ward.services.dispatcher.publish(
        Ready(
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


def lose(ward: Ward, rows: list[Row]) -> None:
    """Count attempts as lost. A worker that is only silent may live behind an outage: it has
    one lease to be heard of."""
    silent = {row.about["worker_id"]: row.about["beat"] for row in rows if row.about.get("silent")}
    if silent:
        ward.passes_a_lease()
    database = ward.services.database
    alive = {id for id, beat in silent.items() if statements.beat_of(database, id) != beat}
    for row in rows:
        if row.about.get("worker_id") not in alive or not row.about.get("silent"):
            instance, step = str(row.instance), int(row.step or 0)
            ward.told.add(instance)
            ward.services.state.lose_attempt(row.subject, instance, step, LOST)


def fire_timers(ward: Ward, _: list[Row]) -> None:
    """Fire whatever is due, as a beat does."""
    upkeep = PostgresUpkeep(ward.services.database)
    while fired := upkeep.fire_timers():
        ward.services.dispatcher.hint(*fired)


def fire_schedules(ward: Ward, _: list[Row]) -> None:
    """Fire the schedules that are due, as a beat does."""
    upkeep = PostgresUpkeep(ward.services.database)
    while (fired := upkeep.fire_schedules()).schedules:
        ward.services.dispatcher.hint(*fired.hints)


def schedule_next(ward: Ward, rows: list[Row]) -> None:
    """Let schedules go on from now, as after a pause."""
    for row in rows:
        try:
            with ward.services.database.transaction() as cursor:
                schedules.pause(cursor, row.about["id"])
                schedules.resume(cursor, row.about["id"])
        except (NotFound, Conflict):
            continue  # it is gone, or stopped, since


def serve(ward: Ward, rows: list[Row]) -> None:
    """Tell a live worker that has the task to serve the queue as well, by Celery's remote
    control. It does until it ends."""
    for row in rows:
        worker, queue = row.about["able"], row.about["queue"]
        if worker is None or not ward.broker:
            continue
        answers = ward.app.control.add_consumer(queue, destination=[worker], reply=True, timeout=3)
        if any(answer.get(worker, {}).get("ok") for answer in answers or ()):
            statements.serves(ward.services.database, worker, queue)


def let_go_on(ward: Ward, rows: list[Row]) -> None:
    """Have the core make anew what an instance waited for; see `core.commands.mending`."""
    steps: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        instance = str(row.instance)
        if row.about.get("by") and row.step is not None:
            _tell_of_child(ward, row)
        elif row.about.get("begun") is False and row.about.get("flow") == "pending":
            ward.tell(instance, StimulusKind.START, {"by": BY}, key="doctor:start")
        else:
            steps[instance] += [row.step] if row.step is not None else []
    for instance, named in steps.items():
        data = {"command": "mend", "steps": named, "by": BY}
        ward.tell(instance, StimulusKind.COMMAND, data, key="doctor:mend")


def _tell_of_child(ward: Ward, row: Row) -> None:
    """The report of a sub-workflow is lost: it is told again, or that it is not there."""
    child = row.about.get("child")
    if row.about["kind"] == "undo" and child and child["compensation"] == "none":
        asked = {"command": "compensate", "reply": row.step, "reason": "the parent undoes it"}
        ward.tell(child["id"], StimulusKind.COMMAND, asked, key=f"doctor:undo:{row.step}")
        return
    ask = row.about.get("ask")
    if row.about["kind"] == "run" and child and ask is not None:
        asked = {"command": "retry", "ask": ask, "step": row.step, "by": BY}
        ward.tell(child["id"], StimulusKind.COMMAND, asked, key=f"doctor:ask:{row.step}:{ask}")
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
    ward.tell(str(row.instance), StimulusKind.CHILD, data, row.step, key)


def bring(ward: Ward, rows: list[Row]) -> None:
    """Bring what waits in the inboxes, here and now."""
    for row in rows:
        ward.services.state.drain(str(row.instance))


def match(ward: Ward, rows: list[Row]) -> None:
    """Match events here and now."""
    for row in rows:
        ward.services.events.match(row.subject)
