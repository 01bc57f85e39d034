"""The periodic entries of a users' Celery app (``beat_schedule``), shared by all its beats.

Each due time is sent by one beat: it follows from the one before, which all beats read from
one row, locked while one of them decides; and it is noted in a row of its own before its
message goes out. Whoever dies between the two leaves a row that another beat sends, with the
same task id. So it is sent at least once, and usually exactly once.

When something is due, Celery's own schedules say (`is_due`): intervals, crontabs, solar
events and users' own classes. They are asked with the database's clock in place of this
machine's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.database.connection.database import Database
from orchestrator.database.connection.database_clock import DatabaseClock
from orchestrator.database.schedules import beat_entry_queries, schedule_queries
from orchestrator.log import get_logger

log = get_logger(__name__)

#: A due time that was to be sent so long ago, in s, has lost its sender.
OVERDUE = 4.0
#: How often to look for those, in s.
LOOK = 1.0
#: How often to say that the entries are still there, and for how long one that nobody names
#: is remembered: a beat that comes back within that time goes on where it was.
REPORT_INTERVAL = timedelta(minutes=10)
ENTRY_RETENTION = timedelta(days=7)
#: How long the due times that were sent are kept.
SENT_RETENTION = timedelta(days=1)
#: How long those are that could not be: a broker may be away for some days.
UNSENT_RETENTION = timedelta(days=7)
#: When to ask again for an entry that another beat has in hand.
BREATH = timedelta(milliseconds=50)
#: Celery's own word for "ask again later", where an entry cannot say when, in s.
UNKNOWN_DELAY = 60.0


Send = Callable[[Any, str], None]
"""Sends the message of a Celery `ScheduleEntry`, with this task id."""


def task_id(entry: str, due: datetime) -> str:
    """The Celery task id of a due time."""
    return f"beat:{entry}:{due.astimezone(UTC).isoformat().replace('+00:00', 'Z')}"


class CeleryBeatEntries:
    """Sends what is due of the entries of one app; says how long nothing will be."""

    def __init__(
        self, database: Database, app: str, entries: Mapping[str, Any], send: Send
    ) -> None:
        self._database = database
        self._app = app
        self._entries = entries
        self._send = send
        self._time = DatabaseClock()
        self._due: dict[str, datetime] = {}
        self._named: datetime | None = None
        self._looked: datetime | None = None

    def run(self) -> float:
        """Send what is due; returns the seconds until the next look."""
        if not self._entries:
            return float("inf")
        self._report_entries()
        for name, due in list(self._due.items()):
            if due <= self._time.now():
                self._fire(name)
        self._resend_unsent()
        wait = (
            min(self._due.values(), default=self._time.now() + REPORT_INTERVAL) - self._time.now()
        )
        return max(0.0, min(wait.total_seconds(), LOOK))

    def _report_entries(self) -> None:
        """Make the entries known, at first and now and then."""
        if self._named and self._time.now() - self._named < REPORT_INTERVAL:
            return
        for name, standing in beat_entry_queries.register_entries(
            self._database, self._app, sorted(self._entries)
        ).items():
            self._time.observe(standing.now)
            due = due_after(self._entries[name].schedule, standing.last_due, standing.now)
            self._due[name] = due.at
        for app, entry, count in beat_entry_queries.purge(
            self._database, ENTRY_RETENTION, SENT_RETENTION, UNSENT_RETENTION
        ):
            log.error(
                "Due times of a periodic task could not be sent for days, and are given up",
                action="beat_given_up", app=app, entry=entry, count=count,
            )  # fmt: skip
        self._named = self._time.now()

    def _fire(self, name: str) -> None:
        """Send an entry if it is due, unless another beat has done so."""
        schedule = self._entries[name].schedule
        with self._database.transaction() as cursor:
            standing = beat_entry_queries.lock(cursor, self._app, name)
            if standing is None:
                self._due[name] = self._time.now() + BREATH
                return
            self._time.observe(standing.now)
            due = due_after(schedule, standing.last_due, standing.now)
            first = False
            if due.is_due:
                last = _next_base(schedule, due.at, standing.now)
                first = beat_entry_queries.fire(cursor, self._app, name, due.at, last)
                self._due[name] = due_after(schedule, last, standing.now).at
            else:
                self._due[name] = due.at
        if first:
            self._send_one(name, due.at)

    def _resend_unsent(self) -> None:
        if self._looked and self._time.now() - self._looked < timedelta(seconds=LOOK):
            return
        # Read anew: our own monotonic clock stands still while the machine sleeps.
        self._time.observe(schedule_queries.now(self._database))
        self._looked = self._time.now()
        names = sorted(self._entries)
        for name, due in beat_entry_queries.unsent(self._database, self._app, names, OVERDUE):
            log.warning("A periodic task is sent again", action="beat_sent_again", entry=name)
            self._send_one(name, due)

    def _send_one(self, name: str, due: datetime) -> None:
        id = task_id(name, due)
        try:
            self._send(self._entries[name], id)
        except Exception as error:  # noqa: BLE001  any broker's any error: it is sent again
            log.warning(
                "A periodic task was not sent, and will be again",
                action="beat_unsent",
                entry=name,
                task_id=id,
                error=repr(error),
            )
            return
        beat_entry_queries.sent(self._database, self._app, name, due)


class DueTime:
    """When an entry is due: at `at`, and whether that has come."""

    __slots__ = ("at", "is_due")

    def __init__(self, is_due: bool, at: datetime) -> None:
        self.is_due = is_due
        self.at = at


def due_after(schedule: Any, last: datetime, now: datetime) -> DueTime:
    """What Celery's schedule says of the due time that follows `last`, `now` being the time."""
    try:
        with _clock(schedule, now) as there:
            is_due, seconds = schedule.is_due(last.astimezone(there))
            if is_due:
                seconds = min(0.0, _left(schedule, last.astimezone(there)))
    except Exception:
        log.exception("A schedule cannot say when it is due", action="beat_entry_failed")
        return DueTime(False, now + timedelta(seconds=UNKNOWN_DELAY))
    if not isinstance(seconds, int | float):
        return DueTime(False, now + timedelta(seconds=UNKNOWN_DELAY))
    return DueTime(bool(is_due), now + timedelta(seconds=seconds))


def _left(schedule: Any, last: datetime) -> float:
    left: float = schedule.remaining_estimate(last).total_seconds()
    return left


@contextmanager
def _clock(schedule: Any, now: datetime) -> Iterator[Any]:
    """Let the schedule see this time, in the time zone that it uses: which is yielded."""
    own = schedule.nowfun
    there = schedule.now().tzinfo or UTC
    schedule.nowfun = lambda: now.astimezone(there)
    try:
        yield there
    finally:
        schedule.nowfun = own


def _next_base(schedule: Any, due: datetime, now: datetime) -> datetime:
    """What the due time after `due` follows from, all that have come by `now` counting as
    sent with it: as in Celery, what was missed is made up for once.

    An interval keeps its beat; others follow from the time now.
    """
    if not due_after(schedule, due, now).is_due:
        return due
    interval = getattr(schedule, "run_every", None)
    if isinstance(interval, timedelta) and interval and not schedule.relative:
        return due + (now - due) // interval * interval
    return now
