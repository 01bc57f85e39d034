"""Why an attempt ended without a result: the texts that are written, and what they say.

The error of a lost attempt goes to the workflow, so its text is for people. `loss_reason` reads the
same text for programs, so that no second record of it is needed.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from typing import Any

from orchestrator.errors import ERROR_TYPES

#: A beat has declared the attempt lost.
LEASE_EXPIRED = "the worker that ran the step sent no heartbeat for one lease"
#: A person's `orchestrator doctor --repair` has.
WORKER_DIED = "the worker that ran the step has died"

_UNKNOWN = "its process ended in an unknown way"
_KILLED = "its process was killed by signal "
_EXITED = "its process exited with status "
_EXIT = re.compile(f"({_KILLED}|{_EXITED})([0-9]+)")


def exit_text(exit_code: int | None) -> str:
    """Return how a child process ended; a negative code is a signal's number."""
    if exit_code is None:
        return _UNKNOWN
    return f"{_KILLED}{-exit_code}" if exit_code < 0 else f"{_EXITED}{exit_code}"


def loss_reason(state: str, error: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return why an attempt ended without a result of its task: ``{kind, signal, exit}``.

    `kind` is ``lease`` (its worker was silent), ``child-exit`` (its process ended; `signal` is the
    name of the signal that killed it, `exit` its exit status, where they are known) or ``limit``
    (it was stopped at its time limit). None: its task ended it.
    """
    error = error or {}
    detail = str(error.get("detail") or "")
    if error.get("type") == f"{ERROR_TYPES}timeout" and state in ("failed", "lost"):
        return {"kind": "limit", "signal": None, "exit": None}
    if state != "lost":
        return None
    if detail in (LEASE_EXPIRED, WORKER_DIED):
        return {"kind": "lease", "signal": None, "exit": None}
    ended = _EXIT.search(detail)
    number = int(ended[2]) if ended else None
    by_signal = bool(ended and ended[1] == _KILLED)
    return {
        "kind": "child-exit",
        "signal": _signal_name(number) if by_signal else None,
        "exit": None if by_signal else number,
    }


def _signal_name(number: int | None) -> str | None:
    try:
        return None if number is None else signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
