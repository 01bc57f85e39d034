"""What an error of psycopg2 means to us, judged here and nowhere else.

By SQLSTATE where Postgres gave one (its documentation, Appendix A). An error without one comes
from libpq or psycopg2 themselves; no message is read, because messages are translated and change.
"""

from __future__ import annotations

from enum import Enum

import psycopg2


class Verdict(Enum):
    """What an error of the driver means."""

    #: Postgres is not reached or can't work now: the connection is not used again.
    UNAVAILABLE = "unavailable"
    #: A lock was not had in time, or the transaction lost to another: nothing was changed.
    BUSY = "busy"
    #: Raised by our own functions in Postgres.
    SUPERSEDED = "superseded"
    FENCED = "fenced"
    #: The statement or its values are wrong: trying again changes nothing.
    WRONG = "wrong"


#: SQLSTATEs that our own functions in Postgres raise.
OURS = {"OR001": Verdict.SUPERSEDED, "OR002": Verdict.FENCED}
_CODES = OURS | {
    "25006": Verdict.UNAVAILABLE,  # read_only_sql_transaction: connected to a standby, a failover
    "25P03": Verdict.BUSY,  # idle_in_transaction_session_timeout, which we set
    "25P04": Verdict.BUSY,  # transaction_timeout
    "40001": Verdict.BUSY,  # serialization_failure
    "40003": Verdict.UNAVAILABLE,  # statement_completion_unknown
    "40P01": Verdict.BUSY,  # deadlock_detected
    "55P03": Verdict.BUSY,  # lock_not_available
}
_CLASSES = {
    "08": Verdict.UNAVAILABLE,  # connection exceptions; all that PgBouncer says itself
    "28": Verdict.UNAVAILABLE,  # invalid authorization: passwords are changed under way
    "53": Verdict.UNAVAILABLE,  # insufficient resources: connections, memory, disk
    "57": Verdict.UNAVAILABLE,  # operator intervention: shutdown, crash, start, cancel
    "58": Verdict.UNAVAILABLE,  # errors of the system below Postgres
}
#: Severities with which Postgres ends the session, whatever the SQLSTATE.
_LAST_WORDS = ("FATAL", "PANIC")


def judge(error: psycopg2.Error) -> Verdict:
    """What `error` means."""
    code = error.pgcode
    if not code:
        return _without_code(error)
    found = _CODES.get(code) or _CLASSES.get(code[:2])
    if found is None and error.diag.severity_nonlocalized in _LAST_WORDS:
        return Verdict.UNAVAILABLE
    return found or Verdict.WRONG


def _without_code(error: psycopg2.Error) -> Verdict:
    """psycopg2 raises exactly `DatabaseError` for whatever libpq says without a SQLSTATE, such
    as ``server closed the connection unexpectedly``, as long as libpq does not yet call the
    connection bad; then it is an `OperationalError`."""
    lost = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    if lost or type(error) is psycopg2.DatabaseError:
        return Verdict.UNAVAILABLE
    return Verdict.WRONG
