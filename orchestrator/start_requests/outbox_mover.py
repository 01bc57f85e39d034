"""Moves submitted starts out of the outbox: each becomes an instance or a dead letter, once.

A row is deleted in the transaction that inserts what it becomes. A process that dies before the
commit leaves the row to the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from orchestrator import clock
from orchestrator.core.model import Json
from orchestrator.database.connection.database import Database, LockTimeout, Transaction
from orchestrator.database.connection.session import Session
from orchestrator.database.instances import instance_queries, outbox_queries
from orchestrator.database.instances.instance_queries import BusinessIdTaken, StartOutcome
from orchestrator.database.instances.outbox_queries import SubmittedStart
from orchestrator.database.keyset_pages import Scope
from orchestrator.errors import ConfigurationError, DatabaseUnavailable
from orchestrator.expressions import Evaluate, EvaluatorUnavailable
from orchestrator.ids import new_id
from orchestrator.json_codec import dumps
from orchestrator.log import get_logger
from orchestrator.settings import Settings
from orchestrator.start_requests.request_schema import ENVELOPE, read_request
from orchestrator.start_requests.start_check import (
    CheckedStart,
    RefusalKind,
    RefusedStart,
    StartCheck,
)
from orchestrator.start_requests.workflow_versions import Catalog

log = get_logger(__name__)

#: The most rows of one namespace in a transaction.
BATCH = 50
#: Seconds after which a batch takes no further row: whoever moves them has other work.
CHECK_TIME = 0.2
#: How often a start is tried while newer versions of its workflow are deployed.
_TRIES = 5
#: The beginning of the `type` of a problem.
_PROBLEM = "urn:celery-orchestrator:problem:"


#: Errors that say nothing about the rows: they are moved later.
_NOT_BY_THE_ROWS = (DatabaseUnavailable, ConfigurationError, LockTimeout, EvaluatorUnavailable)


class _Outdated(Exception):
    """A workflow was removed or has a newer version since it was read."""


#: A row, and what becomes of it.
Decided = tuple[SubmittedStart, CheckedStart | RefusedStart]


@dataclass(slots=True)
class MovedStarts:
    """The instances that were started, and how many starts were refused."""

    instances: list[str] = field(default_factory=list)
    refused: int = 0

    @property
    def count(self) -> int:
        """The rows that left the outbox."""
        return len(self.instances) + self.refused


class OutboxMover:
    """Moves the rows of ``orchestrator_outbox.starts``. Several processes may do so at once.

    Rows are checked before the transaction that moves them, because a validation may take a second.
    """

    def __init__(
        self, database: Database, versions: Catalog, settings: Settings, evaluate: Evaluate
    ) -> None:
        self._database = database
        self._versions = versions
        self._settings = settings
        self._evaluate = evaluate

    def move(self, limit: int = BATCH) -> MovedStarts:
        """Move up to `limit` rows of each namespace, as many as are checked within `CHECK_TIME`.

        Raises `DatabaseUnavailable`, `LockTimeout`, `EvaluatorUnavailable`.
        """
        rows = outbox_queries.oldest(self._database, limit, self._max_bytes)
        if not rows:
            return MovedStarts()
        decided = self._decided_in_time(rows)
        try:
            return self._commit(decided)
        except _NOT_BY_THE_ROWS:
            raise
        except (_Outdated, BusinessIdTaken, RefusedStart):
            pass  # because of one of them: each is moved alone
        except Exception:
            log.exception(
                "Submitted starts could not be moved together",
                action="starts_moved_singly",
                count=len(decided),
            )
        each = [self.move_one(row.id) for row, _ in decided]
        return MovedStarts(
            [id for moved in each for id in moved.instances], sum(moved.refused for moved in each)
        )

    def move_one(self, id: str, scope: Scope = Scope()) -> MovedStarts:  # noqa: B008  (frozen)
        """Move the start of this id, unless it is not there or outside the scope. Wait for a
        process that moves it already.

        A start that fails for an unknown reason is refused: it must not stay and fail for ever.
        Raises as `move`.
        """
        refusal = RefusedStart(RefusalKind.INTERNAL, "newer versions of the workflow keep coming")
        row: SubmittedStart | None = None
        for _ in range(_TRIES):
            row = outbox_queries.get(self._database, id, self._max_bytes)
            if row is None or not scope.has(row.namespace):
                return MovedStarts()
            try:
                return self._commit([(row, self._decision(row))], wait=True)
            except _NOT_BY_THE_ROWS:
                raise
            except (_Outdated, BusinessIdTaken):
                continue  # another transaction has committed meanwhile: decide again
            except RefusedStart as error:
                refusal = error
            except Exception:
                log.exception("A submitted start failed", action="start_failed", instance=id)
                refusal = RefusedStart(
                    RefusalKind.INTERNAL, "the orchestrator failed to start it; its log says why"
                )
            break
        return self._commit([(row, refusal)], wait=True) if row else MovedStarts()

    @property
    def _max_bytes(self) -> int:
        return self._settings.max_payload + ENVELOPE

    def _decided_in_time(self, rows: Sequence[SubmittedStart]) -> list[Decided]:
        end, decided = clock.monotonic() + CHECK_TIME, []
        for row in rows:
            decided.append((row, self._decision(row)))
            if clock.monotonic() >= end:
                break
        return decided

    def _decision(self, row: SubmittedStart) -> CheckedStart | RefusedStart:
        try:
            request = read_request(row.request, row.namespace, self._settings.max_payload)
            return self._check(self._database, row).check(
                request, row.id, heard_from=row.heard_from
            )
        except RefusedStart as error:
            return error
        except _NOT_BY_THE_ROWS:
            raise
        except Exception:
            log.exception("A submitted start can't be checked", action="start_refused", id=row.id)
            return RefusedStart(RefusalKind.INTERNAL, "it can't be checked; the log says why")

    def _check(self, session: Session, row: SubmittedStart) -> StartCheck:
        return StartCheck(
            session, self._versions, self._settings, row.namespace.__eq__, self._evaluate
        )

    def _commit(self, decided: Sequence[Decided], *, wait: bool = False) -> MovedStarts:
        """Start or refuse those that still stand. Raises `RefusedStart` if the business id of the
        only one is taken; `_Outdated`, `BusinessIdTaken`."""
        with self._database.transaction() as transaction:
            locked = outbox_queries.lock(transaction, [row.id for row, _ in decided], wait=wait)
            starts, refused = [], []
            for row, decision in decided:
                if row.id not in locked:
                    continue
                if isinstance(decision, CheckedStart):
                    starts.append((row, decision))
                else:
                    refused.append((row, decision))
            self._start(transaction, starts)
            outbox_queries.delete(transaction, [row.id for row, _ in starts])
            _refuse(transaction, refused)
        return MovedStarts([row.id for row, _ in starts], len(refused))

    def _start(
        self, transaction: Transaction, checked: Sequence[tuple[SubmittedStart, CheckedStart]]
    ) -> None:
        at = clock.now()
        for login, group in groupby(
            sorted(checked, key=lambda each: each[0].login), lambda each: each[0].login
        ):
            starts = [start for _, start in group]
            new = [start.new for start in starts]
            try:
                outcome = instance_queries.start(transaction, new, at, f"outbox:{login}")
            except BusinessIdTaken as taken:
                if len(checked) > 1 or taken.__cause__ is not None:
                    raise
                raise self._check(transaction, checked[0][0]).conflict(starts) from None
            if outcome is StartOutcome.OUTDATED:
                self._versions.evict(*(start.name for start in starts))
                raise _Outdated


def _refuse(
    transaction: Transaction, refused: Sequence[tuple[SubmittedStart, RefusedStart]]
) -> None:
    if not refused:
        return
    outbox_queries.refuse(
        transaction, [(row.id, new_id(), dumps(_error(error))) for row, error in refused]
    )
    for row, error in refused:
        log.warning(
            "A submitted start was refused and is a dead letter",
            action="start_refused",
            instance=row.id,
            namespace=row.namespace,
            login=row.login,
            reason=error.kind.value,
        )


def _error(refusal: RefusedStart) -> Json:
    error = {
        "type": _PROBLEM + refusal.kind.value,
        "title": "A start from a transaction was refused",
        "detail": refusal.message,
    }
    return {**error, "errors": refusal.errors} if refusal.errors else error
