"""Instances: start them in one round trip, read one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import psycopg2.errors

from orchestrator.core.engine_version import ENGINE
from orchestrator.core.model import ENDED_STATUSES
from orchestrator.database.access.idempotency_queries import IdempotencyKey, RecordedAnswer
from orchestrator.database.connection.session import Session
from orchestrator.database.connection.status_literals import ENDED
from orchestrator.database.keyset_pages import Scope
from orchestrator.errors import Conflict, NotFound
from orchestrator.json_codec import dumps


@dataclass(frozen=True, slots=True)
class NewStart:
    """An instance to start.

    `input` and `labels` are JSON text. `newest`: the caller requested the workflow's newest version
    and expects it to be `workflow_id`.
    """

    id: str
    workflow_id: str
    newest: bool
    input: str | None = None
    business_id: str | None = None
    labels: str | None = None
    start_at: datetime | None = None
    #: The number of the event that starts it: later events count for it. None: events from now on.
    heard_from: int | None = None


class StartOutcome(StrEnum):
    """The result of a start; see ``schema/functions/start_instances.sql``."""

    STARTED = "started"
    OUTDATED = "outdated"
    REPEATED = "seen"
    IN_FLIGHT = "in_flight"
    TAKEN = "taken"


class BusinessIdTaken(Conflict):
    """Another instance has the business_id."""


_START = """
select orchestrator.start_instances(
  %s::uuid[], %s::boolean[], %s::uuid[], %s::text[], %s::json[], %s::jsonb[], %s::timestamptz[],
  %s, %s, %s, %s, %s, %s::smallint, %s, %s, %s::smallint)
"""
_START_ONE = "select orchestrator.start_instance(%s,%s,%s,%s,%s,%s,%s,%s,%s::smallint)"


def start(
    session: Session,
    starts: Sequence[NewStart],
    at: datetime,
    by: str,
    keyed: tuple[IdempotencyKey, RecordedAnswer] | None = None,
    trace: dict[str, str] | None = None,
) -> StartOutcome:
    """Insert instances with their start stimuli, and the recorded answer of a request with an
    idempotency key.

    All or nothing, in one statement. `trace` is their trace: ``{traceparent, tracestate?}``. Raises
    `BusinessIdTaken`.
    """
    try:
        if len(starts) == 1 and keyed is None and starts[0].start_at is None:
            row = session.one(_START_ONE, _start_one(starts[0], at, by, trace))
        else:
            row = session.one(_START, _start_several(starts, at, by, keyed, trace))
    except psycopg2.errors.UniqueViolation as error:
        if error.diag.constraint_name == "instances_business_id_uq":
            raise BusinessIdTaken from error
        raise
    assert row is not None  # noqa: S101  a function's call has a row
    outcome = StartOutcome(row[0])
    if outcome is StartOutcome.TAKEN:
        raise BusinessIdTaken
    if outcome is StartOutcome.STARTED:
        _set_marks(session, [new for new in starts if new.heard_from is not None])
    return outcome


def _set_marks(session: Session, starts: Sequence[NewStart]) -> None:
    """Store the marks of instances that events have started, in the caller's transaction."""
    if starts:
        session.all(
            """
            update orchestrator.instances i set heard_from = g.mark
            from unnest(%s::uuid[], %s::bigint[]) as g(id, mark)
            where i.id = g.id
            """,
            ([new.id for new in starts], [new.heard_from for new in starts]),
        )


def _start_one(
    new: NewStart, at: datetime, by: str, trace: dict[str, str] | None
) -> tuple[Any, ...]:
    return (
        new.workflow_id,
        new.newest,
        new.id,
        new.business_id,
        new.input,
        new.labels,
        at,
        _data(by, trace),
        ENGINE,
    )


def _start_several(
    starts: Sequence[NewStart],
    at: datetime,
    by: str,
    keyed: tuple[IdempotencyKey, RecordedAnswer] | None,
    trace: dict[str, str] | None,
) -> tuple[Any, ...]:
    key, answer = keyed or (None, None)
    return (
        [new.workflow_id for new in starts],
        [new.newest for new in starts],
        [new.id for new in starts],
        [new.business_id for new in starts],
        [new.input for new in starts],
        [new.labels for new in starts],
        [new.start_at for new in starts],
        at,
        _data(by, trace),
        key.scope if key else None,
        key.key if key else None,
        key.digest if key else None,
        answer.status if answer else None,
        dumps(answer.headers) if answer else None,
        answer.body if answer else None,
        ENGINE,
    )


def _data(by: str, trace: dict[str, str] | None) -> str:
    """Return the data of the start stimulus."""
    return dumps({"by": by, "trace": trace} if trace else {"by": by})


def instances_by_business_id(
    session: Session, namespaces: Sequence[str], business_ids: Sequence[str]
) -> dict[tuple[str, str], str]:
    """Return the instance of each (namespace, business_id)."""
    rows = session.all(
        """
        select i.namespace, i.business_id, i.id::text
        from orchestrator.instances i
        join unnest(%s::text[], %s::text[]) as a(namespace, business_id)
          using (namespace, business_id)
        """,
        (list(namespaces), list(business_ids)),
    )
    return {(row[0], row[1]): row[2] for row in rows}


def pending_of(row: str) -> str:
    """Return SQL that counts the waiting commands of the instance in the row of this name."""
    return f"""
        (
          select count(*) from orchestrator.stimuli q
          where q.instance_id = {row}.id and q.kind = 'command')
    """


def summary_of(row: str) -> str:
    """Return the columns of `Summary`, for the row of this name."""
    return f"""
        id::text, namespace, workflow, version, business_id, status, compensation, run,
        labels::text, created_at, started_at, ended_at, {pending_of(row)}, parent_instance::text,
        parent_step
    """


_WHOLE = f"""
{summary_of("i")}, workflow_id::text, sequence, input::text, output::text, error::text,
context::text
"""


@dataclass(frozen=True, slots=True)
class Summary:
    """An instance without its payloads.

    `labels` is JSON text, `pending` the number of commands in its inbox.
    """

    id: str
    namespace: str
    workflow: str
    version: str
    business_id: str | None
    status: str
    compensation: str
    run: int
    labels: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    pending: int
    parent_instance: str | None
    parent_step: int | None

    @property
    def is_final(self) -> bool:
        """Whether the instance changes no more by itself: it has ended, its compensation does not
        run, and no command waits."""
        return self.status in ENDED_STATUSES and self.compensation != "running" and not self.pending


@dataclass(frozen=True, slots=True)
class InstanceWithPayloads(Summary):
    """An instance; its payloads are JSON text. `sequence` numbers its last transition."""

    workflow_id: str
    sequence: int
    input: str | None
    output: str | None
    error: str | None
    context: str | None


def get(session: Session, id: str, scope: Scope) -> InstanceWithPayloads | None:
    """Return an instance; None also where its namespace is outside the scope."""
    row = session.one(f"select {_WHOLE} from orchestrator.instances i where id = %s", (id,))
    found = InstanceWithPayloads(*row) if row else None
    return found if found and scope.has(found.namespace) else None


def workflow_of(session: Session, id: str) -> str:
    """Return the id of an instance's workflow version. Raises `NotFound`."""
    row = session.one("select workflow_id::text from orchestrator.instances where id = %s", (id,))
    if row is None:
        raise NotFound(f"there is no instance {id}")
    return str(row[0])


@dataclass(frozen=True, slots=True)
class Progress:
    """The number of an instance's last transition, and whether the instance is final."""

    sequence: int
    is_final: bool


#: Whether an instance, the row `i`, is final.
IS_FINAL = f"""
case
  when i.status in {ENDED} and i.compensation <> 'running' then
    not exists (
      select from orchestrator.stimuli q
      where q.instance_id = i.id and q.kind = 'command')
  else false end
"""


def progress(session: Session, ids: Collection[str]) -> dict[str, Progress]:
    """Return the progress of these instances in one round trip."""
    rows = session.all(
        f"""
        select i.id::text, i.sequence, {IS_FINAL}
        from orchestrator.instances i
        where i.id = any(%s::uuid[])
        """,
        (list(ids),),
    )
    return {row[0]: Progress(row[1], row[2]) for row in rows}


def names(session: Session, ids: Collection[str], scope: Scope) -> dict[str, str | None]:
    """Return the business ids of the instances that are in the scope, by id."""
    if not ids:
        return {}
    condition, params = scope.condition("namespace") or ("true", {})
    rows = session.all(
        f"""
        select id::text, business_id from orchestrator.instances
        where id = any(%(ids)s::uuid[]) and {condition}
        """,
        {"ids": list(ids), **params},
    )
    return {row[0]: row[1] for row in rows}
