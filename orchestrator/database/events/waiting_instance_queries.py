"""Instances that wait for events of a namespace, to explain why an event found no listener."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from orchestrator.database.connection.session import Session

#: Largest number of listeners that are read, the newest first.
MOST = 500


@dataclass(frozen=True, slots=True)
class WaitingListener:
    """A listener of an instance: since when it waits, when the instance was started, and its
    filters, each ``{"with": {...}, ...}``."""

    instance: str
    step: int
    since: datetime
    started_at: datetime
    filters: Sequence[dict[str, Any]]


def waiters(session: Session, namespace: str, target: str | None = None) -> list[WaitingListener]:
    """Return the listeners in a namespace, or of one instance (`target`): at most `MOST`."""
    rows = session.all(
        """
        select l.instance_id::text, l.step, l.created_at, i.created_at, l.filters
        from orchestrator.listeners l
        join orchestrator.instances i on i.id = l.instance_id
        where l.namespace = %(namespace)s
          and (%(target)s::uuid is null or l.instance_id = %(target)s::uuid)
        order by l.created_at desc limit %(most)s
        """,
        {"namespace": namespace, "target": target, "most": MOST},
    )
    return [WaitingListener(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class DescribedListener:
    """A listener, for people: its instance's business id and workflow, and its task."""

    instance: str
    step: int
    business_id: str | None
    namespace: str
    name: str
    version: str
    reference: str


def described(session: Session, listeners: Sequence[tuple[str, int]]) -> list[DescribedListener]:
    """Return listeners, named by instance and step, in their order."""
    rows = session.all(
        """
        select i.id::text, s.id, i.business_id, w.namespace, w.name, w.version, s.reference
        from unnest(%s::uuid[], %s::int[]) with ordinality as g(instance_id, step, n)
        join orchestrator.instances i on i.id = g.instance_id
        join orchestrator.workflows w on w.id = i.workflow_id
        join orchestrator.steps s on s.instance_id = g.instance_id and s.id = g.step
        order by g.n
        """,
        ([each[0] for each in listeners], [each[1] for each in listeners]),
    )
    return [DescribedListener(*row) for row in rows]
