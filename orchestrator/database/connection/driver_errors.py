"""The only place that classifies errors of psycopg2.

By SQLSTATE where Postgres gave one (its documentation, Appendix A). An error without one comes from
libpq or psycopg2; messages are not read, because they are translated and change.
"""

from __future__ import annotations

from enum import Enum

import psycopg2


class Verdict(Enum):
    """The meaning of an error of the driver."""

    #: Postgres is not reached or can't work now: the connection is not used again.
    UNAVAILABLE = "unavailable"
    #: A lock was not granted in time, or another transaction won: nothing was changed.
    BUSY = "busy"
    #: Raised by our own functions in Postgres.
    SUPERSEDED = "superseded"
    FENCED = "fenced"
    #: The statement or its values are wrong: another try changes nothing.
    WRONG = "wrong"


#: SQLSTATEs that our own functions in Postgres raise.
FUNCTION_CODES = {"OR001": Verdict.SUPERSEDED, "OR002": Verdict.FENCED}
_CODES = FUNCTION_CODES | {
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
_FATAL_SEVERITIES = ("FATAL", "PANIC")


def verdict_of(error: psycopg2.Error) -> Verdict:
    """Return the meaning of `error`."""
    code = error.pgcode
    if not code:
        return _without_code(error)
    verdict = _CODES.get(code) or _CLASSES.get(code[:2])
    if verdict is None and error.diag.severity_nonlocalized in _FATAL_SEVERITIES:
        return Verdict.UNAVAILABLE
    return verdict or Verdict.WRONG


def _without_code(error: psycopg2.Error) -> Verdict:
    """Classify an error without a SQLSTATE.

    psycopg2 raises exactly `DatabaseError` for libpq's errors, such as ``server closed the
    connection unexpectedly``, as long as libpq does not yet count the connection as bad; after
    that, an `OperationalError`.
    """
    lost = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    if lost or type(error) is psycopg2.DatabaseError:
        return Verdict.UNAVAILABLE
    return Verdict.WRONG
