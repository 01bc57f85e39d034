"""Every kind of ailment: what shows it, how it is told, what mends it, what a person can do.

The last ones follow from the tables alone: whatever breaks a rule that all rows keep is found,
however it came about.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from orchestrator.cli.doctor import remedies
from orchestrator.cli.doctor.ward import Ward
from orchestrator.cli.why import starting
from orchestrator.database import ailments, causes
from orchestrator.database import remedies as statements
from orchestrator.database.ailments import Row
from orchestrator.document.text import hint, nearest

Find = Callable[[Ward], list[Row]]
#: Mends all rows of one kind; what it can't mend it leaves, and the next look finds it again.
Mend = Callable[[Ward, list[Row]], None]


@dataclass(frozen=True)
class Kind:
    """A kind of ailment. `says` is filled in from a row's `about` and `subject`; `remedy` is
    what `--repair` does, in words, and `advice` what a person can do."""

    name: str
    says: str
    find: Find
    remedy: str | None = None
    mend: Mend | None = None
    advice: str | None = None

    def tell(self, row: Row) -> str:
        """One row in words."""
        return self.says.format_map({"subject": row.subject, "step": row.step, **row.about})


def _rows(sql: str, keep: Callable[[Row], bool] = lambda _: True) -> Find:
    return lambda ward: [row for row in ward.find(sql) if keep(row)]


def _unserved(keep: Callable[[Row], bool]) -> Find:
    """Waiting attempts that no live worker can take, with what would start one that can."""
    return lambda ward: [
        dataclasses.replace(row, about={**row.about, **_home(ward, row.about["task"])})
        for row in ward.find(ailments.UNSERVED)
        if keep(row)
    ]


def _home(ward: Ward, task: str) -> dict[str, str]:
    home = causes.home(ward.services.database, task, ward.settings.lease)
    meant = None if home.certain else nearest(task, home.known)
    return {**starting(home.app), "meant": hint(meant)}


def _lost_messages(ward: Ward) -> list[Row]:
    """Unclaimed attempts whose message the broker has not. Asked in this order, so that what
    is claimed meanwhile is not taken for lost."""
    before = ward.find(ailments.UNCLAIMED)
    shown = ward.at_broker([row.about["queue"] for row in before])
    still = {row.subject for row in ward.find(ailments.UNCLAIMED)}
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
    return None if statement is None else remedies.by_statement(statement)


def _consistency() -> Iterator[Kind]:
    by_core = "instances: the counter of places is wrong"
    for what, sql in ailments.CONSISTENCY.items():
        mend = remedies.let_go_on if what == by_core else _statement(what)
        yield Kind(
            name="inconsistent",
            says=what + ": {subject}",
            find=_rows(sql),
            remedy="the row is set right" if mend else None,
            mend=mend,
            advice=None if mend else "read its history; then orchestrator terminate {instance}",
        )
    for what, (sql, remove) in ailments.BELONGING.items():
        yield Kind(
            name="inconsistent",
            says=what + ": {subject}",
            find=_rows(sql),
            remedy="the row is removed",
            mend=remedies.by_statement(remove),
        )


_SERVE = "a live worker that has the task is told to serve the queue"
_GO_ON = "what was lost is made anew, as a transition of the instance"

KINDS = (
    Kind(
        "lost-message",
        "the message of {task} is not at the broker (queue {queue}, attempt {subject})",
        _lost_messages,
        "it is sent again",
        remedies.send_again,
    ),
    Kind(
        "lease-without-worker",
        "{task} is in the hands of a worker that is gone (attempt {subject})",
        _rows(ailments.LEASES),
        "the attempt counts as lost; a worker that is only silent has one lease to speak",
        remedies.lose,
        "run orchestrator beat: beats do this by themselves",
    ),
    Kind(
        "vanished-child",
        "the process {process} of {worker} no longer has {task} in hand (attempt {subject})",
        _rows(ailments.HANDS),
        "the attempt counts as lost",
        remedies.lose,
        "run orchestrator beat: beats do this by themselves",
    ),
    Kind(
        "overdue-timer",
        "a timer ({kind}) was due at {due}",
        _rows(ailments.TIMERS),
        "it fires now",
        remedies.fire_timers,
        "run orchestrator beat",
    ),
    Kind(
        "overdue-schedule",
        "the schedule of {subject} was due at {due}",
        _rows(ailments.LATE_SCHEDULES),
        "it fires now",
        remedies.fire_schedules,
        "run orchestrator beat",
    ),
    Kind(
        "schedule-without-next",
        "the schedule of {subject} is active and has no next firing",
        _rows(ailments.SCHEDULES),
        "its next firing is computed from now on",
        remedies.schedule_next,
        "its times may be over: orchestrator schedule next {subject}",
    ),
    Kind(
        "queue-without-consumer",
        "no live worker serves the queue {queue}: {count} attempts of {task} wait",
        _unserved(lambda row: not row.about["served"]),
        _SERVE,
        remedies.serve,
        "{worker} -Q {queue}{meant}",
    ),
    Kind(
        "misrouted",
        "the workers of the queue {queue} do not have {task}, but {able} has it"
        " ({count} attempts wait)",
        _unserved(lambda row: row.about["served"] and bool(row.about["able"])),
        _SERVE,
        remedies.serve,
        "route the task to its workers: metadata.queue, or Celery's task_routes",
    ),
    Kind(
        "task-without-worker",
        "no live worker has the task {task}: {count} attempts wait in {queue}",
        _unserved(lambda row: row.about["served"] and not row.about["able"]),
        "nobody has it: only a worker that imports it can run it",
        remedies.serve,
        "add its module to {modules} of a worker of {queue}{meant}",
    ),
    Kind(
        "stuck-compensation",
        "the compensation waits for nothing (step {step})",
        lambda ward: [
            row
            for sql in (ailments.STEPS, ailments.INSTANCES)
            for row in ward.find(sql)
            if _compensates(row)
        ],
        _GO_ON,
        remedies.let_go_on,
        "orchestrator terminate {instance}",
    ),
    Kind(
        "waits-for-nothing",
        "nothing is awaited of the step {step} ({kind} {ref})",
        _rows(ailments.STEPS, lambda row: not _compensates(row)),
        _GO_ON,
        remedies.let_go_on,
        "orchestrator skip {instance} {step}, or terminate {instance}",
    ),
    Kind(
        "waits-for-nothing",
        "it is {flow}, has no open step, and nothing waits in its inbox",
        _rows(ailments.INSTANCES, lambda row: not _compensates(row)),
        _GO_ON,
        remedies.let_go_on,
        "orchestrator terminate {instance}",
    ),
    Kind(
        "listener-of-the-ended",
        "a listener of what has ended is left (step {step})",
        _rows(ailments.LISTENERS),
        "the listener is removed",
        remedies.by_statement(statements.LISTENER),
    ),
    Kind(
        "unbrought-notes",
        "{count} commands, results or events wait in its inbox",
        _rows(ailments.NOTES),
        "they are applied now",
        remedies.bring,
        "orchestrator worker -Q orchestrator; orchestrator beat",
    ),
    Kind(
        "unmatched-events",
        "{count} events of {subject} have not been matched with listeners",
        _rows(ailments.EVENTS),
        "they are matched now",
        remedies.match,
        "orchestrator worker -Q orchestrator; orchestrator beat",
    ),
    Kind(
        "dead-letter",
        "step {step} gave up and waits for a person: {error}",
        _rows(ailments.LETTERS),
        advice="orchestrator dead-letter retry {subject} (or resolve)",
    ),
    *_consistency(),
)
