"""The history and the events of all instances as one feed.

Each row has a position, which its transaction takes from a sequence. Transactions end in another
order than they take positions, so readers stop below the first one that may still be on its way
(`Horizon`): no row is passed by, whoever commits late. Transactions that take no position hold
up no reader, however long they stay open, in this database or another of the server.
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

#: A reader that has no reason to read lags behind by at least so much, in s: what made it
#: begin may have wanted to know of what came just before.
IDLE_LAG = 6.0

#: Seconds to wait before looking a second and a third time: our own transactions are short.
PAUSES = (0.005, 0.02)
#: Looks that are remembered while one transaction stays open.
LOOKS = 100

#: The name of the place of the reader that makes lifecycle events.
TRANSITIONS = "transitions"

#: Stands for every prepared transaction: it has no session to tell it by.
PREPARED = "prepared"


class Horizon:
    """Finds up to where a reader may read.

    Postgres locks a sequence for a transaction before it takes a value from it, and keeps the
    lock until the transaction ends. Each look reads the last value, then who holds the lock.
    When none of those holds it any more, every position up to that value is decided: statements
    from then on see its row, or never. A prepared transaction takes the place of a session that
    was seen, so while there is one nothing is decided.
    """

    def __init__(self, wait: Callable[[float], None] = pause) -> None:
        self._wait = wait
        self._looks: deque[tuple[int, frozenset[str]]] = deque()
        self._decided = 0

    def look(self, session: Session) -> int:
        """The first position that may not be decided yet; 0 before anything is known.

        Where `session` is a transaction, it must see what others commit meanwhile.
        """
        last = self._look(session)
        for seconds in PAUSES:
            if self._decided > last:
                break
            self._wait(seconds)
            self._look(session)
        return self._decided

    def begin(self, session: Session, seconds: float) -> int:
        """The same for a reader that begins now: waits up to so many seconds until all that was
        taken before is decided. Where that is not to be had, it begins where another reader
        was."""
        wanted, tries = self._look(session), int(seconds / PAUSES[-1])
        while self._decided <= wanted and tries > 0:
            self._wait(PAUSES[-1])
            self._look(session)
            tries -= 1
        if self._decided > wanted:
            return self._decided
        row = session.one("select tx from orchestrator.feeds where name = %s", (TRANSITIONS,))
        return max(self._decided, int(row[0]) if row else 0)

    def _look(self, session: Session) -> int:
        row = session.one("select last, holders from orchestrator.positions_taken()")
        assert row is not None  # noqa: S101  a function's call has a row
        last, held = int(row[0]), frozenset(row[1])
        if len(self._looks) == LOOKS:
            self._looks.pop()
        self._looks.append((last, held))
        while self._looks and PREPARED not in held and not self._looks[0][1] & held:
            self._decided = max(self._decided, self._looks.popleft()[0] + 1)
        return last


def place(transaction: Transaction, name: str) -> int | None:
    """Take the place of a reader, which is kept under a name: every position before it was
    read. None: somebody else has it."""
    transaction.all(
        """
        insert into orchestrator.feeds (name, tx, later_tx)
        select %s, p.last, p.last
        from orchestrator.positions_taken() p
        where not exists (select from orchestrator.feeds where name = %s)
        on conflict do nothing
        """,
        (name, name),
    )
    row = transaction.one(
        "select tx from orchestrator.feeds where name = %s for update skip locked", (name,)
    )
    return row[0] if row else None


def advance_to(transaction: Transaction, name: str, position: int) -> None:
    """Everything before a position has been read."""
    transaction.all(
        """
        update orchestrator.feeds
        set tx = %s, at = clock_timestamp(), later_tx = %s, later_at = clock_timestamp()
        where name = %s
        """,
        (position, position, name),
    )


def skip_to(transaction: Transaction, name: str, horizon: int) -> None:
    """Nothing is to be read: stay close behind."""
    transaction.all(
        """
        update orchestrator.feeds
        set tx = later_tx, at = later_at, later_tx = greatest(later_tx, %s),
          later_at = clock_timestamp()
        where name = %s and later_at < clock_timestamp() - %s * interval '1 s'
        """,
        (horizon, name, IDLE_LAG),
    )


@dataclass(frozen=True, slots=True)
class TransitionRow:
    """A row of ``history`` with whose it is; `tx` is its position."""

    tx: int
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
    """The transitions at the positions from `first` to `before` (exclusive), in their order."""
    rows = session.all(
        """
        select h.tx, h.instance_id::text, h.sequence, h.at, h.facts, i.namespace, i.workflow,
          i.version
        from orchestrator.history h
        join orchestrator.instances i on i.id = h.instance_id
        where h.tx >= %(first)s and h.tx < %(before)s
          and (%(namespaces)s::text[] is null or i.namespace = any(%(namespaces)s::text[]))
        order by h.tx, h.instance_id, h.sequence
        """,
        {
            "first": first,
            "before": before,
            "namespaces": None if namespaces is None else list(namespaces),
        },
    )
    return [TransitionRow(*row) for row in rows]


def references(session: Session, steps: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """The references of steps, by (instance, step)."""
    given = sorted(set(steps))
    if not given:
        return {}
    rows = session.all(
        """
        select s.instance_id::text, s.id, s.ref
        from unnest(%s::uuid[], %s::int[]) as g(instance_id, id)
        join orchestrator.steps s using (instance_id, id)
        """,
        ([one[0] for one in given], [one[1] for one in given]),
    )
    return {(row[0], row[1]): row[2] for row in rows}


def outputs(session: Session, steps: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Json]:
    """What steps, or instances (step 0), have as their output, by (instance, step)."""
    given = sorted(set(steps))
    if not given:
        return {}
    rows = session.all(
        """
        select g.instance_id::text, g.id, case when g.id = 0 then i.output else s.output end
        from unnest(%s::uuid[], %s::int[]) as g(instance_id, id)
        left join orchestrator.instances i on i.id = g.instance_id and g.id = 0
        left join orchestrator.steps s on s.instance_id = g.instance_id and s.id = g.id
        """,
        ([one[0] for one in given], [one[1] for one in given]),
    )
    return {(row[0], row[1]): row[2] for row in rows}


def lifecycle_subscribers(session: Session) -> dict[str, set[str] | None]:
    """Who waits for lifecycle events: by namespace the types, or None for those of any type."""
    rows = session.all("select wanted_in, wanted from orchestrator.lifecycle_interest()")
    found: dict[str, set[str] | None] = {}
    for namespace, type in rows:
        known = found.setdefault(namespace, set())
        if type is None or known is None:
            found[namespace] = None
        else:
            known.add(type)
    return found


def events(
    session: Session, first: int, before: int, namespaces: Sequence[str] | None = None
) -> list[tuple[int, str, dict[str, Json]]]:
    """The events received and emitted at the positions from `first` to `before` (exclusive), in
    their order: ``(position, namespace, event)``. Lifecycle events, which history tells of too,
    are left out."""
    rows = session.all(
        """
        select e.tx, e.namespace, e.event from orchestrator.events e
        where e.tx >= %(first)s and e.tx < %(before)s
          and (e.type not like 'io.serverlessworkflow.%%' or e.instance_id is null)
          and (%(namespaces)s::text[] is null or e.namespace = any(%(namespaces)s::text[]))
        order by e.tx, e.number
        """,
        {
            "first": first,
            "before": before,
            "namespaces": None if namespaces is None else list(namespaces),
        },
    )
    return [(row[0], row[1], row[2]) for row in rows]
