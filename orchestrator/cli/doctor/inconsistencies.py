"""Every kind of ailment: what shows it, how it is told, what mends it, what a person can do.

The last ones follow from the tables alone: whatever breaks a rule that all rows keep is found,
however it came about.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from orchestrator.cli.commands.wait_reasons import starting
from orchestrator.cli.doctor import repairs
from orchestrator.cli.doctor.examination import Examination
from orchestrator.database.instances import wait_reason_queries
from orchestrator.database.operations import consistency_checks
from orchestrator.database.operations import consistency_repairs as statements
from orchestrator.database.operations.consistency_checks import Row
from orchestrator.document.message_text import nearest, suggestion

Find = Callable[[Examination], list[Row]]
#: Mends all rows of one kind; what it can't mend it leaves, and the next look finds it again.
Mend = Callable[[Examination, list[Row]], None]


@dataclass(frozen=True)
class Inconsistency:
    """A kind of ailment. `says` is filled in from a row's `about` and `subject`; `remedy` is
    what `--repair` does, in words, and `advice` what a person can do."""

    name: str
    message: str
    find: Find
    repair_text: str | None = None
    repair: Mend | None = None
    advice: str | None = None

    def message_for(self, row: Row) -> str:
        """One row in words."""
        return self.message.format_map({"subject": row.subject, "step": row.step, **row.about})


def _rows(sql: str, keep: Callable[[Row], bool] = lambda _: True) -> Find:
    return lambda ward: [row for row in ward.find(sql) if keep(row)]


def _unserved(keep: Callable[[Row], bool]) -> Find:
    """Waiting attempts that no live worker can take, with what would start one that can."""
    return lambda ward: [
        dataclasses.replace(row, about={**row.about, **_home(ward, row.about["task"])})
        for row in ward.find(consistency_checks.UNSERVED)
        if keep(row)
    ]


def _home(ward: Examination, task: str) -> dict[str, str]:
    home = wait_reason_queries.home(ward.services.database, task, ward.settings.lease)
    meant = None if home.certain else nearest(task, home.known)
    return {**starting(home.app), "meant": suggestion(meant)}


def _lost_messages(ward: Examination) -> list[Row]:
    """Unclaimed attempts whose message the broker has not. Asked in this order, so that what
    is claimed meanwhile is not taken for lost."""
    before = ward.find(consistency_checks.UNCLAIMED)
    shown = ward.at_broker([row.about["queue"] for row in before])
    still = {row.subject for row in ward.find(consistency_checks.UNCLAIMED)}
    return [row for row in before if row.subject in still and _is_lost(row, shown)]


def _is_lost(row: Row, shown: dict[str, set[str] | None]) -> bool:
    if row.about["queue"] not in shown:  # the broker is away: that is another ailment
        return False
    ids = shown[row.about["queue"]]
    return ids is not None and row.subject not in ids


def _compensates(row: Row) -> bool:
    return str(row.about["compensation"]) == "running"


def _statement(what: str) -> Mend | None:
    statement = statements.STATEMENTS.get(what)
    return None if statement is None else repairs.by_statement(statement)


def _consistency() -> Iterator[Inconsistency]:
    by_core = "instances: the counter of places is wrong"
    for what, sql in consistency_checks.CONSISTENCY.items():
        mend = repairs.reconcile if what == by_core else _statement(what)
        yield Inconsistency(
            name="inconsistent",
            message=what + ": {subject}",
            find=_rows(sql),
            repair_text="the row is set right" if mend else None,
            repair=mend,
            advice=None if mend else "read its history; then orchestrator terminate {instance}",
        )
    for what, (sql, remove) in consistency_checks.ORPHANED_ROWS.items():
        yield Inconsistency(
            name="inconsistent",
            message=what + ": {subject}",
            find=_rows(sql),
            repair_text="the row is removed",
            repair=repairs.by_statement(remove),
        )


_SERVE = "a live worker that has the task is told to serve the queue"
_GO_ON = "what was lost is made anew, as a transition of the instance"

KINDS = (
    Inconsistency(
        "lost-message",
        "the message of {task} is not at the broker (queue {queue}, attempt {subject})",
        _lost_messages,
        "it is sent again",
        repairs.send_again,
    ),
    Inconsistency(
        "lease-without-worker",
        "{task} is in the hands of a worker that is gone (attempt {subject})",
        _rows(consistency_checks.LEASES),
        "the attempt counts as lost; a worker that is only silent has one lease to speak",
        repairs.report_lost,
        "run orchestrator beat: beats do this by themselves",
    ),
    Inconsistency(
        "vanished-child",
        "the process {process} of {worker} no longer has {task} in hand (attempt {subject})",
        _rows(consistency_checks.VANISHED_ATTEMPTS),
        "the attempt counts as lost",
        repairs.report_lost,
        "run orchestrator beat: beats do this by themselves",
    ),
    Inconsistency(
        "overdue-timer",
        "a timer ({kind}) was due at {due}",
        _rows(consistency_checks.TIMERS),
        "it fires now",
        repairs.fire_timers,
        "run orchestrator beat",
    ),
    Inconsistency(
        "overdue-schedule",
        "the schedule of {subject} was due at {due}",
        _rows(consistency_checks.LATE_SCHEDULES),
        "it fires now",
        repairs.fire_schedules,
        "run orchestrator beat",
    ),
    Inconsistency(
        "schedule-without-next",
        "the schedule of {subject} is active and has no next firing",
        _rows(consistency_checks.SCHEDULES),
        "its next firing is computed from now on",
        repairs.schedule_next,
        "its times may be over: orchestrator schedule next {subject}",
    ),
    Inconsistency(
        "queue-without-consumer",
        "no live worker serves the queue {queue}: {count} attempts of {task} wait",
        _unserved(lambda row: not row.about["served"]),
        _SERVE,
        repairs.serve,
        "{worker} -Q {queue}{meant}",
    ),
    Inconsistency(
        "misrouted",
        "the workers of the queue {queue} do not have {task}, but {able} has it"
        " ({count} attempts wait)",
        _unserved(lambda row: row.about["served"] and bool(row.about["able"])),
        _SERVE,
        repairs.serve,
        "route the task to its workers: metadata.queue, or Celery's task_routes",
    ),
    Inconsistency(
        "task-without-worker",
        "no live worker has the task {task}: {count} attempts wait in {queue}",
        _unserved(lambda row: row.about["served"] and not row.about["able"]),
        "nobody has it: only a worker that imports it can run it",
        repairs.serve,
        "add its module to {modules} of a worker of {queue}{meant}",
    ),
    Inconsistency(
        "stuck-compensation",
        "the compensation waits for nothing (step {step})",
        lambda ward: [
            row
            for sql in (consistency_checks.STEPS, consistency_checks.INSTANCES)
            for row in ward.find(sql)
            if _compensates(row)
        ],
        _GO_ON,
        repairs.reconcile,
        "orchestrator terminate {instance}",
    ),
    Inconsistency(
        "waits-for-nothing",
        "nothing is awaited of the step {step} ({kind} {ref})",
        _rows(consistency_checks.STEPS, lambda row: not _compensates(row)),
        _GO_ON,
        repairs.reconcile,
        "orchestrator skip {instance} {step}, or terminate {instance}",
    ),
    Inconsistency(
        "waits-for-nothing",
        "it is {flow}, has no open step, and nothing waits in its inbox",
        _rows(consistency_checks.INSTANCES, lambda row: not _compensates(row)),
        _GO_ON,
        repairs.reconcile,
        "orchestrator terminate {instance}",
    ),
    Inconsistency(
        "listener-of-the-ended",
        "a listener of what has ended is left (step {step})",
        _rows(consistency_checks.LISTENERS),
        "the listener is removed",
        repairs.by_statement(statements.LISTENER),
    ),
    Inconsistency(
        "unbrought-notes",
        "{count} commands, results or events wait in its inbox",
        _rows(consistency_checks.STALE_STIMULI),
        "they are applied now",
        repairs.process_inboxes,
        "orchestrator worker -Q orchestrator; orchestrator beat",
    ),
    Inconsistency(
        "unmatched-events",
        "{count} events of {subject} have not been matched with listeners",
        _rows(consistency_checks.EVENTS),
        "they are matched now",
        repairs.match,
        "orchestrator worker -Q orchestrator; orchestrator beat",
    ),
    Inconsistency(
        "dead-letter",
        "step {step} gave up and waits for a person: {error}",
        _rows(consistency_checks.OPEN_DEAD_LETTERS),
        advice="orchestrator dead-letter retry {subject} (or resolve)",
    ),
    *_consistency(),
)
