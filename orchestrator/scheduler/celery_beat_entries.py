"""The periodic entries of a user's Celery app (``beat_schedule``), shared by all its beats.

Each due time is sent by one beat. A beat locks the entry's row, which has the last due time,
computes the next one from it, and stores that in a row of its own before it sends the message. If
the beat dies in between, another beat sends the message with the same task id. So each due time is
sent at least once, and usually exactly once.

Celery's own schedules (`is_due`) decide when an entry is due: intervals, crontabs, solar events and
classes of users. They see the database's clock instead of this machine's.
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

#: Age in seconds after which an unsent due time has lost its beat: another beat sends it.
OVERDUE = 4.0
#: Seconds between two queries for such due times.
UNSENT_INTERVAL = 1.0
#: How often a beat reports its entries, and how long an unreported entry is kept. A beat that
#: returns within that time continues from the last due time.
REPORT_INTERVAL = timedelta(minutes=10)
ENTRY_RETENTION = timedelta(days=7)
#: How long sent due times are kept.
SENT_RETENTION = timedelta(days=1)
#: How long unsent due times are kept: a broker may be away for some days.
UNSENT_RETENTION = timedelta(days=7)
#: Time until the next try for an entry that another beat has locked.
LOCKED_RETRY = timedelta(milliseconds=50)
#: Seconds until the next try if an entry's schedule can't compute its due time.
UNKNOWN_DELAY = 60.0


Send = Callable[[Any, str], None]
"""Sends the message of a Celery `ScheduleEntry` with this task id."""


def task_id(entry: str, due: datetime) -> str:
    """Return the Celery task id of a due time."""
    return f"beat:{entry}:{due.astimezone(UTC).isoformat().replace('+00:00', 'Z')}"


class CeleryBeatEntries:
    """Sends the due entries of one app."""

    def __init__(
        self, database: Database, app: str, entries: Mapping[str, Any], send: Send
    ) -> None:
        self._database = database
        self._app = app
        self._entries = entries
        self._send = send
        self._time = DatabaseClock()
        self._due: dict[str, datetime] = {}
        self._reported_at: datetime | None = None
        self._queried_at: datetime | None = None

    def run(self) -> float:
        """Send the due entries. Return the seconds until the next call."""
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
        return max(0.0, min(wait.total_seconds(), UNSENT_INTERVAL))

    def _report_entries(self) -> None:
        """Report the entries at the first call and then every `REPORT_INTERVAL`."""
        if self._reported_at and self._time.now() - self._reported_at < REPORT_INTERVAL:
            return
        for name, state in beat_entry_queries.register_entries(
            self._database, self._app, sorted(self._entries)
        ).items():
            self._time.observe(state.now)
            due = due_after(self._entries[name].schedule, state.last_due, state.now)
            self._due[name] = due.at
        for app, entry, count in beat_entry_queries.purge(
            self._database, ENTRY_RETENTION, SENT_RETENTION, UNSENT_RETENTION
        ):
            log.error(
                "Due times of a periodic task could not be sent for days and are given up",
                action="entry_given_up", app=app, entry=entry, count=count,
            )  # fmt: skip
        self._reported_at = self._time.now()

    def _fire(self, name: str) -> None:
        """Send an entry if it is due, unless another beat has done so."""
        schedule = self._entries[name].schedule
        with self._database.transaction() as transaction:
            state = beat_entry_queries.lock(transaction, self._app, name)
            if state is None:
                self._due[name] = self._time.now() + LOCKED_RETRY
                return
            self._time.observe(state.now)
            due = due_after(schedule, state.last_due, state.now)
            first = False
            if due.is_due:
                last = _next_base(schedule, due.at, state.now)
                first = beat_entry_queries.fire(transaction, self._app, name, due.at, last)
                self._due[name] = due_after(schedule, last, state.now).at
            else:
                self._due[name] = due.at
        if first:
            self._send_one(name, due.at)

    def _resend_unsent(self) -> None:
        if self._queried_at and self._time.now() - self._queried_at < timedelta(
            seconds=UNSENT_INTERVAL
        ):
            return
        # Read the database's time again before each query for unsent entries. In between, the time
        # is estimated by the monotonic clock, which stops while the machine sleeps.
        self._time.observe(schedule_queries.now(self._database))
        self._queried_at = self._time.now()
        names = sorted(self._entries)
        for name, due in beat_entry_queries.unsent(self._database, self._app, names, OVERDUE):
            log.warning("A periodic task is sent again", action="entry_resent", entry=name)
            self._send_one(name, due)

    def _send_one(self, name: str, due: datetime) -> None:
        id = task_id(name, due)
        try:
            self._send(self._entries[name], id)
        except Exception as error:  # noqa: BLE001  any error of any broker: the entry is sent again
            log.warning(
                "A periodic task could not be sent; a beat will try again",
                action="entry_unsent",
                entry=name,
                task_id=id,
                error=repr(error),
            )
            return
        beat_entry_queries.record_sent(self._database, self._app, name, due)


class DueTime:
    """The time `at` when an entry is due, and whether it has come."""

    __slots__ = ("at", "is_due")

    def __init__(self, is_due: bool, at: datetime) -> None:
        self.is_due = is_due
        self.at = at


def due_after(schedule: Any, last: datetime, now: datetime) -> DueTime:
    """Return the due time after `last`, from Celery's schedule, at the time `now`."""
    try:
        with _clock(schedule, now) as zone:
            is_due, seconds = schedule.is_due(last.astimezone(zone))
            if is_due:
                seconds = min(0.0, _remaining(schedule, last.astimezone(zone)))
    except Exception:
        log.exception("A schedule can't compute its due time", action="entry_failed")
        return DueTime(False, now + timedelta(seconds=UNKNOWN_DELAY))
    if not isinstance(seconds, int | float):
        return DueTime(False, now + timedelta(seconds=UNKNOWN_DELAY))
    return DueTime(bool(is_due), now + timedelta(seconds=seconds))


def _remaining(schedule: Any, last: datetime) -> float:
    remaining: float = schedule.remaining_estimate(last).total_seconds()
    return remaining


@contextmanager
def _clock(schedule: Any, now: datetime) -> Iterator[Any]:
    """Make the schedule see this time. Yield the time zone that it uses."""
    original = schedule.nowfun
    zone = schedule.now().tzinfo or UTC
    schedule.nowfun = lambda: now.astimezone(zone)
    try:
        yield zone
    finally:
        schedule.nowfun = original


def _next_base(schedule: Any, due: datetime, now: datetime) -> datetime:
    """Return the base of the due time after `due`. All due times up to `now` count as sent with
    it: as in Celery, missed due times are sent once together.

    An interval keeps its grid; other schedules continue from `now`.
    """
    if not due_after(schedule, due, now).is_due:
        return due
    interval = getattr(schedule, "run_every", None)
    if isinstance(interval, timedelta) and interval and not schedule.relative:
        return due + (now - due) // interval * interval
    return now
