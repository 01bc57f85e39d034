"""All inconsistencies: the query that finds each, its message, its repair, and advice.

Those named ``inconsistent`` are rows that break a rule of the tables, for whatever reason.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from orchestrator.database.instances import call_wait_queries, outbox_queries
from orchestrator.database.operations import consistency_checks, consistency_conditions
from orchestrator.database.operations import consistency_repairs as statements
from orchestrator.database.operations.consistency_checks import Row
from orchestrator.doctor import repairs
from orchestrator.doctor.examination import Examination
from orchestrator.document.message_text import nearest_word, suggestion
from orchestrator.terminal_text import worker_start_command

Find = Callable[[Examination], list[Row]]
#: Repairs all rows of one inconsistency. Rows that it cannot repair are found again afterwards.
Repair = Callable[[Examination, list[Row]], None]


@dataclass(frozen=True)
class Inconsistency:
    """A kind of inconsistency. `message` and `advice` are templates for values of a row.

    `repair_text` says what `--repair` does, `advice` what the user can do.
    """

    name: str
    message: str
    find: Find
    repair_text: str | None = None
    repair: Repair | None = None
    advice: str | None = None

    def message_for(self, row: Row) -> str:
        """Return the message for one row."""
        return self.message.format_map({"subject": row.subject, "step": row.step, **row.about})


def _rows(sql: str, keep: Callable[[Row], bool] = lambda _: True) -> Find:
    return lambda examination: [row for row in examination.find(sql) if keep(row)]


def _unserved(keep: Callable[[Row], bool]) -> Find:
    """Find attempts that no live worker can run, and the command that starts such a worker. They
    can be repaired where a worker that has the task accepts commands (`repairable`)."""

    def find(examination: Examination) -> list[Row]:
        rows = [row for row in examination.find(consistency_checks.UNSERVED) if keep(row)]
        answers = examination.answers() if any(row.about["able"] for row in rows) else {}
        return [
            dataclasses.replace(
                row,
                about={
                    **row.about,
                    **_home_app(examination, row.about["task"]),
                    "repairable": row.about["able"] in answers,
                },
            )
            for row in rows
        ]

    return find


def _home_app(examination: Examination, task: str) -> dict[str, str]:
    home = call_wait_queries.home(examination.services.database, task, examination.settings.lease)
    meant = None if home.certain else nearest_word(task, home.known)
    return {**worker_start_command(home.app), "meant": suggestion(meant)}


def _lost_messages(examination: Examination) -> list[Row]:
    """Find unclaimed attempts without a message at the broker.

    The attempts are read again after the broker: one that was claimed meanwhile is not lost. Nor is
    one whose queue is served by workers without its task: they drop its messages.
    """
    dropped = {
        (row.about["queue"], row.about["task"])
        for row in examination.find(consistency_checks.UNSERVED)
        if row.about["served"]
    }
    before = [
        row
        for row in examination.find(consistency_checks.UNCLAIMED)
        if (row.about["queue"], row.about["task"]) not in dropped
    ]
    messages = examination.at_broker([row.about["queue"] for row in before])
    still = {row.subject for row in examination.find(consistency_checks.UNCLAIMED)}
    return [row for row in before if row.subject in still and _is_lost(row, messages)]


def _is_lost(row: Row, messages: dict[str, set[str] | None]) -> bool:
    if row.about["queue"] not in messages:  # the broker does not answer: another check reports it
        return False
    ids = messages[row.about["queue"]]
    return ids is not None and row.subject not in ids


def _compensates(row: Row) -> bool:
    return str(row.about["compensation"]) == "running"


def _statement(rule: str) -> Repair | None:
    statement = statements.STATEMENTS.get(rule)
    return None if statement is None else repairs.by_statement(statement)


def _from_consistency_rules() -> Iterator[Inconsistency]:
    by_core = "instances: the counter of places is wrong"
    for rule, sql in consistency_conditions.CONSISTENCY.items():
        repair = repairs.reconcile if rule == by_core else _statement(rule)
        yield Inconsistency(
            name="inconsistent",
            message=rule + ": {subject}",
            find=_rows(sql),
            repair_text="the row is corrected" if repair else None,
            repair=repair,
            advice=None if repair else "read its history; then orchestrator terminate {instance}",
        )
    for rule, (sql, remove) in consistency_conditions.ORPHANED_ROWS.items():
        yield Inconsistency(
            name="inconsistent",
            message=rule + ": {subject}",
            find=_rows(sql),
            repair_text="the row is deleted",
            repair=repairs.by_statement(remove),
        )


_SERVE = "a live worker that has the task starts to serve the queue, until it stops"
_RECONCILE = "the instance continues: a transition restores what was lost"

KINDS = (
    Inconsistency(
        "lost-message",
        "the broker has no message for {task} (queue {queue}, attempt {subject})",
        _lost_messages,
        "the message is sent again",
        repairs.send_again,
    ),
    Inconsistency(
        "lease-without-worker",
        "{task} was claimed by a worker that is not alive any more (attempt {subject})",
        _rows(consistency_checks.LEASES),
        "the attempt counts as lost, unless its worker sends a heartbeat within one lease",
        repairs.report_lost,
        "run orchestrator beat, which does this by itself",
    ),
    Inconsistency(
        "vanished-process",
        "the process {process} of {worker} does not run {task} any more (attempt {subject})",
        _rows(consistency_checks.VANISHED_ATTEMPTS),
        "the attempt counts as lost",
        repairs.report_lost,
        "run orchestrator beat, which does this by itself",
    ),
    Inconsistency(
        "overdue-timer",
        "a timer ({kind}) was due at {due}",
        _rows(consistency_checks.TIMERS),
        "it is fired now",
        repairs.fire_timers,
        "run orchestrator beat",
    ),
    Inconsistency(
        "overdue-schedule",
        "the schedule of {subject} was due at {due}",
        _rows(consistency_checks.LATE_SCHEDULES),
        "it is fired now",
        repairs.fire_schedules,
        "run orchestrator beat",
    ),
    Inconsistency(
        "schedule-without-next",
        "the schedule of {subject} is active and has no next firing",
        _rows(consistency_checks.SCHEDULES),
        "the next firing is computed",
        repairs.schedule_next,
        "see whether due times remain: orchestrator schedule next {subject}",
    ),
    Inconsistency(
        "queue-without-consumer",
        "no live worker serves the queue {queue}: {count} attempts of {task} wait",
        _unserved(lambda row: not row.about["served"]),
        _SERVE,
        repairs.serve_queue,
        "{worker} -Q {queue}{meant}",
    ),
    Inconsistency(
        "misrouted",
        "the workers of the queue {queue} do not have {task}, but {able} has it"
        " ({count} attempts wait)",
        _unserved(lambda row: row.about["served"] and bool(row.about["able"])),
        _SERVE,
        repairs.serve_queue,
        "route the task to its workers: metadata.queue, or Celery's task_routes",
    ),
    Inconsistency(
        "task-without-worker",
        "no live worker has the task {task}: {count} attempts wait in {queue}",
        _unserved(lambda row: row.about["served"] and not row.about["able"]),
        "nothing: only a worker that imports the task can run it",
        repairs.serve_queue,
        "add its module to {modules} of a worker of {queue}{meant}",
    ),
    Inconsistency(
        "stuck-compensation",
        "the compensation is stuck: nothing can continue it (step {step})",
        lambda examination: [
            row
            for sql in (consistency_checks.STEPS, consistency_checks.INSTANCES)
            for row in examination.find(sql)
            if _compensates(row)
        ],
        _RECONCILE,
        repairs.reconcile,
        "orchestrator terminate {instance}",
    ),
    Inconsistency(
        "stalled-step",
        "the step {step} is open, but nothing can continue it ({kind} {reference})",
        _rows(consistency_checks.STEPS, lambda row: not _compensates(row)),
        _RECONCILE,
        repairs.reconcile,
        "orchestrator skip {instance} {step}, or terminate {instance}",
    ),
    Inconsistency(
        "stalled-instance",
        "it is {flow}, with no open step and an empty inbox: nothing can continue it",
        _rows(consistency_checks.INSTANCES, lambda row: not _compensates(row)),
        _RECONCILE,
        repairs.reconcile,
        "orchestrator terminate {instance}",
    ),
    Inconsistency(
        "orphaned-listener",
        "a listener of a step or an instance that has ended still exists (step {step})",
        _rows(consistency_checks.LISTENERS),
        "the listener is deleted",
        repairs.by_statement(statements.LISTENER),
    ),
    Inconsistency(
        "pending-stimuli",
        "{count} stimuli wait in its inbox: commands, results or events",
        _rows(consistency_checks.STALE_STIMULI),
        "the stimuli are applied now",
        repairs.process_inboxes,
        "orchestrator worker -Q orchestrator; orchestrator beat",
    ),
    Inconsistency(
        "unmatched-events",
        "{count} events of {subject} have not been matched with listeners",
        _rows(consistency_checks.EVENTS),
        "the events are matched now",
        repairs.match,
        "orchestrator worker -Q orchestrator; orchestrator beat",
    ),
    Inconsistency(
        "standing-starts",
        "{count} starts that were submitted in {subject} wait in the outbox, the oldest for"
        " {seconds} s",
        _rows(consistency_checks.STANDING_STARTS),
        "they are started now, or become dead letters",
        repairs.move_starts,
        "run orchestrator beat",
    ),
    Inconsistency(
        "refused-start",
        "the start was refused and waits for a person: {error}",
        _rows(
            consistency_checks.OPEN_DEAD_LETTERS,
            lambda row: row.about["reason"] == outbox_queries.REFUSED_START,
        ),
        advice="orchestrator dead-letter retry {subject} (or resolve)",
    ),
    Inconsistency(
        "dead-letter",
        "step {step} failed for good and waits for a person: {error}",
        _rows(
            consistency_checks.OPEN_DEAD_LETTERS,
            lambda row: row.about["reason"] != outbox_queries.REFUSED_START,
        ),
        advice="orchestrator dead-letter retry {subject} (or resolve)",
    ),
    *_from_consistency_rules(),
)
