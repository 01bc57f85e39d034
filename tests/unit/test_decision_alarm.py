"""The longest time of a decision, in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys

from orchestrator.execution.process.decision_alarm import DecisionAlarm

# It holds the interpreter's lock: no handler in Python can run meanwhile.
HANGS = """
import re
from orchestrator.execution.process.decision_alarm import DecisionAlarm
with DecisionAlarm(0.2):
    re.match(r"(a+)+$", "a" * 64 + "b")
"""


def test_a_process_that_hangs_in_a_library_ends() -> None:
    done = subprocess.run([sys.executable, "-c", HANGS], timeout=60, check=False)
    assert done.returncode == -signal.SIGALRM


def test_what_a_task_has_set_is_put_back() -> None:
    """pytest's own timeout has a handler and a timer here."""
    handler = signal.getsignal(signal.SIGALRM)
    seconds, _ = signal.getitimer(signal.ITIMER_REAL)
    assert callable(handler) and seconds > 20
    with DecisionAlarm(10):
        assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 10
    assert signal.getsignal(signal.SIGALRM) is handler
    assert signal.getitimer(signal.ITIMER_REAL)[0] > 20


def test_it_leaves_no_timer() -> None:
    code = """
import signal
from orchestrator.execution.process.decision_alarm import DecisionAlarm
with DecisionAlarm():
    assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
"""
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
