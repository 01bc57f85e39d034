"""Schedules of deployed and removed workflow versions.

Every function works in the caller's transaction and notifies the beats when that commits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from orchestrator import json_codec
from orchestrator.database.connection.database import Transaction
from orchestrator.database.schedules import firing_queries, schedule_queries, timer_queries
from orchestrator.database.schedules.schedule_queries import ACTIVE, STOPPED, ScheduleRow
from orchestrator.ids import new_id
from orchestrator.scheduler.schedules.firing_policy import SkipReason
from orchestrator.scheduler.schedules.firing_record import due_times_of, plan_of, with_next_due
from orchestrator.scheduler.schedules.policy_options import (
    ScheduleKind,
    SchedulePlan,
    plans,
    stored_policy,
)


def update_schedules(
    transaction: Transaction,
    workflow_id: str,
    namespace: str,
    name: str,
    version: str,
    document: Mapping[str, Any],
    shortest: float = 0.0,
) -> None:
    """Move the schedules of a workflow to a deployed version, if it is the newest: update those
    that its document has, stop the others. Repeating it changes nothing. None of them fires
    more often than every `shortest` seconds.

    Call it in the transaction that stores the version.
    """
    new_plans = plans(document, shortest)
    existing = {row.kind: row for row in schedule_queries.lock_all(transaction, namespace, name)}
    if not (new_plans or existing) or not schedule_queries.is_newest(transaction, workflow_id):
        return
    now = schedule_queries.now(transaction)
    policy = json_codec.dumps(stored_policy(document))
    for plan in new_plans:
        known = existing.pop(plan.kind.value, None)
        fresh = ScheduleRow(
            id=known.id if known else new_id(),
            namespace=namespace,
            workflow=name,
            kind=plan.kind.value,
            state=known.state if known and known.state != STOPPED else ACTIVE,
            workflow_id=workflow_id,
            version=version,
            timing=json_codec.dumps(dict(plan.timing)),
            policy=policy,
            anchor=now,
        )
        _save(transaction, known, fresh, plan, now)
    _stop(transaction, [row for row in existing.values() if row.state != STOPPED])
    timer_queries.announce(transaction)


def _save(
    transaction: Transaction,
    known: ScheduleRow | None,
    fresh: ScheduleRow,
    plan: SchedulePlan,
    now: datetime,
) -> None:
    if known is None:
        return schedule_queries.put(transaction, with_next_due(fresh, now))
    schedule_queries.save(transaction, [_next_version(known, fresh, plan, now)])
    if known.state == STOPPED:
        schedule_queries.set_mark(transaction, known.id)
    return None


def _next_version(
    known: ScheduleRow, fresh: ScheduleRow, plan: SchedulePlan, now: datetime
) -> ScheduleRow:
    """Return the schedule under its new version. If its timing is the same, its due times
    continue, so that a due time that has come and is not handled yet is not lost."""
    fresh = replace(
        fresh, last_instance_id=known.last_instance_id, waits_for_end=known.waits_for_end
    )
    if known.state == STOPPED or not _has_same_times(known, fresh, plan):
        return with_next_due(fresh, now)
    updated = replace(
        fresh, anchor=known.anchor, next_due=known.next_due, next_fire_at=known.next_fire_at
    )
    due_times = due_times_of(updated)
    if updated.next_due is None or due_times is None:
        return updated
    return replace(updated, next_fire_at=due_times.due(updated.next_due).fires_at)


def _has_same_times(known: ScheduleRow, fresh: ScheduleRow, plan: SchedulePlan) -> bool:
    old, new = plan_of(known), plan_of(fresh)
    if json_codec.loads(known.timing) != json_codec.loads(fresh.timing):
        return False
    return plan.kind is not ScheduleKind.CRON or _clock(old) == _clock(new)


def _clock(plan: SchedulePlan) -> tuple[object, ...]:
    return plan.policy.timezone.key, plan.policy.missing, plan.policy.repeated


def lock_schedules(transaction: Transaction, workflow_ids: Sequence[str]) -> None:
    """Lock the schedules of versions that may be removed. Call it before any other lock, to avoid a
    deadlock with a beat."""
    schedule_queries.lock_of(transaction, workflow_ids)


def stop_schedules(transaction: Transaction, workflow_ids: Sequence[str]) -> None:
    """Stop the schedules of removed versions. Call it in the transaction that removes them.

    An older version takes them over only when it is deployed again.
    """
    _stop(transaction, schedule_queries.lock_of(transaction, workflow_ids))


def _stop(transaction: Transaction, rows: Sequence[ScheduleRow]) -> None:
    firing_queries.drop_queued(transaction, [row.id for row in rows], SkipReason.STOPPED)
    schedule_queries.save(
        transaction,
        [
            replace(row, state=STOPPED, next_due=None, next_fire_at=None, waits_for_end=False)
            for row in rows
        ],
    )
