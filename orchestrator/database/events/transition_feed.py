"""The history and the events of all instances as one feed.

Each row has a position, which its transaction takes from a sequence. Transactions commit in another
order than they take positions, so readers stop before the first position that is still undecided
(`Horizon`): a late commit is never skipped. Transactions that take no position delay no reader,
however long they stay open, in this database or another of the server.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.core.model import Json
from orchestrator.database.connection.database import Transaction
from orchestrator.database.connection.notification_listener import pause
from orchestrator.database.connection.session import Session

#: While nobody subscribes, the feed stays this many seconds behind, so that a new subscriber still
#: receives what was committed just before it subscribed.
IDLE_LAG = 6.0

#: Seconds to wait before the second and the third check: our own transactions are short.
PAUSES = (0.005, 0.02)
#: Checks that are remembered while one transaction stays open.
MAX_CHECKS = 100

#: The name of the stored position of the reader that makes lifecycle events.
TRANSITIONS = "transitions"

#: Stands for every prepared transaction: it has no session to identify it.
PREPARED = "prepared"


class Horizon:
    """Finds the position up to which a reader may read.

    Postgres locks a sequence for a transaction before the transaction takes a value, and keeps the
    lock until it ends. Each check reads the last value, then the sessions that hold the lock. When
    none of those holds it any more, every position up to that value is decided: its row is visible
    to later statements, or will never exist. A prepared transaction replaces a session that was
    seen, so while there is one, nothing is decided.
    """

    def __init__(self, wait: Callable[[float], None] = pause) -> None:
        self._wait = wait
        self._looks: deque[tuple[int, frozenset[str]]] = deque()
        self._decided = 0
        #: The last position that was taken, as of the newest check. The sequence goes back where a
        #: backup is restored, or a replica promoted that lagged.
        self.last = 0

    def decided_position(self, session: Session) -> int:
        """Return the first position that may be undecided; 0 before anything is known.

        A transaction as `session` must see what others commit meanwhile.
        """
        last = self._read_positions_taken(session)
        for seconds in PAUSES:
            if self._decided > last:
                break
            self._wait(seconds)
            self._read_positions_taken(session)
        return self._decided

    def first_position(self, session: Session, seconds: float) -> int:
        """Return the position for a new reader: waits up to `seconds` until every position taken
        before is decided.

        If that does not happen, the reader starts at the stored position of the lifecycle reader.
        """
        target, tries = self._read_positions_taken(session), int(seconds / PAUSES[-1])
        while self._decided <= target and tries > 0:
            self._wait(PAUSES[-1])
            self._read_positions_taken(session)
            tries -= 1
        if self._decided > target:
            return self._decided
        row = session.one(
            "select position from orchestrator.feed_positions where name = %s", (TRANSITIONS,)
        )
        return max(self._decided, int(row[0]) if row else 0)

    def _read_positions_taken(self, session: Session) -> int:
        row = session.one("select last, holders from orchestrator.positions_taken()")
        assert row is not None  # noqa: S101  a function's call has a row
        last, holders = int(row[0]), frozenset(row[1])
        self.last = last
        if last + 1 < self._decided:
            self._decided = 0
            self._looks.clear()
        if len(self._looks) == MAX_CHECKS:
            self._looks.pop()
        self._looks.append((last, holders))
        while self._looks and PREPARED not in holders and not self._looks[0][1] & holders:
            self._decided = max(self._decided, self._looks.popleft()[0] + 1)
        return last


def last_position(session: Session) -> int:
    """Return the last position that was taken."""
    row = session.one("select last from orchestrator.positions_taken()")
    return int(row[0]) if row else 0


def lock_position(transaction: Transaction, name: str) -> int | None:
    """Lock the stored position of a reader and return it: every row before it was read. None:
    another process has the lock."""
    transaction.all(
        """
        insert into orchestrator.feed_positions (name, position, next_position)
        select %s, p.last, p.last
        from orchestrator.positions_taken() p
        where not exists (select from orchestrator.feed_positions where name = %s)
        on conflict do nothing
        """,
        (name, name),
    )
    row = transaction.one(
        "select position from orchestrator.feed_positions where name = %s for update skip locked",
        (name,),
    )
    return row[0] if row else None


def advance_to(transaction: Transaction, name: str, position: int) -> None:
    """Record that everything before a position has been read."""
    transaction.all(
        """
        update orchestrator.feed_positions
        set position = %s, at = clock_timestamp(), next_position = %s, next_at = clock_timestamp()
        where name = %s
        """,
        (position, position, name),
    )


def skip_to(transaction: Transaction, name: str, horizon: int, most: int) -> None:
    """Move the stored position close behind `horizon`, when there is nothing to read. It does not
    stay beyond `most`, the next position that will be taken."""
    transaction.all(
        """
        update orchestrator.feed_positions
        set position = least(next_position, %(most)s), at = next_at,
          next_position = greatest(least(next_position, %(most)s), %(horizon)s),
          next_at = clock_timestamp()
        where name = %(name)s and next_at < clock_timestamp() - %(lag)s * interval '1 s'
        """,
        {"horizon": horizon, "most": most, "name": name, "lag": IDLE_LAG},
    )


@dataclass(frozen=True, slots=True)
class TransitionRow:
    """A row of ``history`` with the data of its instance; `position` is its place in the feed."""

    position: int
    instance: str
    sequence: int
    at: datetime
    facts: list[list[Json]]
    namespace: str
    workflow: str
    version: str


def transitions(
    session: Session, first: int, before: int, namespaces: Sequence[str] | None = None
) -> list[TransitionRow]:
    """Return the transitions at the positions from `first` to `before` (exclusive), in their
    order."""
    rows = session.all(
        """
        select h.position, h.instance_id::text, h.sequence, h.at, h.facts, i.namespace, i.workflow,
          i.version
        from orchestrator.history h
        join orchestrator.instances i on i.id = h.instance_id
        where h.position >= %(first)s and h.position < %(before)s
          and (%(namespaces)s::text[] is null or i.namespace = any(%(namespaces)s::text[]))
        order by h.position, h.instance_id, h.sequence
        """,
        {
            "first": first,
            "before": before,
            "namespaces": None if namespaces is None else list(namespaces),
        },
    )
    return [TransitionRow(*row) for row in rows]


def end_within_bytes(session: Session, first: int, before: int, most: int) -> int:
    """Return the position before which a read from `first` ends: `before`, or one after which the
    rows of events and history are larger than `most` bytes. It is greater than `first`."""
    row = session.one(
        """
        select min(position)
        from (
          select position, sum(size) over (order by position) - size as size_before
          from (
            select position, sum(size) as size
            from (
              select position, octet_length(event::text) as size from orchestrator.events
              where position >= %(first)s and position < %(before)s
              union all
              select position, octet_length(facts::text) from orchestrator.history
              where position >= %(first)s and position < %(before)s) row
            group by position) sized) summed
        where size_before >= %(most)s
        """,
        {"first": first, "before": before, "most": most},
    )
    return int(row[0]) if row and row[0] is not None else before


def references(session: Session, steps: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """Return the references of steps, by (instance, step)."""
    keys = sorted(set(steps))
    if not keys:
        return {}
    rows = session.all(
        """
        select s.instance_id::text, s.id, s.reference
        from unnest(%s::uuid[], %s::int[]) as g(instance_id, id)
        join orchestrator.steps s using (instance_id, id)
        """,
        ([one[0] for one in keys], [one[1] for one in keys]),
    )
    return {(row[0], row[1]): row[2] for row in rows}


def outputs(session: Session, steps: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Json]:
    """Return the outputs of steps, or of instances (step 0), by (instance, step)."""
    keys = sorted(set(steps))
    if not keys:
        return {}
    rows = session.all(
        """
        select g.instance_id::text, g.id, case when g.id = 0 then i.output else s.output end
        from unnest(%s::uuid[], %s::int[]) as g(instance_id, id)
        left join orchestrator.instances i on i.id = g.instance_id and g.id = 0
        left join orchestrator.steps s on s.instance_id = g.instance_id and s.id = g.id
        """,
        ([one[0] for one in keys], [one[1] for one in keys]),
    )
    return {(row[0], row[1]): row[2] for row in rows}


def lifecycle_subscribers(session: Session) -> dict[str, set[str] | None]:
    """Return the types of lifecycle events with subscribers, by namespace; None: any type."""
    rows = session.all("select wanted_in, wanted from orchestrator.lifecycle_subscribers()")
    types_by_namespace: dict[str, set[str] | None] = {}
    for namespace, type in rows:
        types = types_by_namespace.setdefault(namespace, set())
        if type is None or types is None:
            types_by_namespace[namespace] = None
        else:
            types.add(type)
    return types_by_namespace


def events(
    session: Session, first: int, before: int, namespaces: Sequence[str] | None = None
) -> list[tuple[int, str, dict[str, Json]]]:
    """Return the events received and emitted at the positions from `first` to `before` (exclusive),
    in their order: ``(position, namespace, event)``.

    Lifecycle events are left out, because history has them too.
    """
    rows = session.all(
        """
        select e.position, e.namespace, e.event from orchestrator.events e
        where e.position >= %(first)s and e.position < %(before)s
          and (e.type not like 'io.serverlessworkflow.%%' or e.instance_id is null)
          and (%(namespaces)s::text[] is null or e.namespace = any(%(namespaces)s::text[]))
        order by e.position, e.receipt_number
        """,
        {
            "first": first,
            "before": before,
            "namespaces": None if namespaces is None else list(namespaces),
        },
    )
    return [(row[0], row[1], row[2]) for row in rows]
