"""Repeats a call until Postgres and the expression evaluator answer.

During an outage the caller cannot know whether a call took effect. Each call made here may be
repeated: claims and ends carry tokens, so a repetition gets the first answer.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from orchestrator.errors import DatabaseUnavailable
from orchestrator.expressions import EvaluatorUnavailable
from orchestrator.outage_log import EVALUATOR, POSTGRES

T = TypeVar("T")

#: Shortest and longest delay between two tries, in seconds.
FIRST_DELAY, MAX_DELAY = 0.05, 2.0


class RetryAbandoned(Exception):
    """The caller stopped waiting for the database."""


def backoff_delays() -> Iterator[float]:
    """Yield the seconds to wait before each further try: doubled up to `MAX_DELAY`, at random
    between half and all of it, so that the processes of a fleet do not retry at the same time."""
    delay = FIRST_DELAY
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311  no secret
        delay = min(delay * 2, MAX_DELAY)


def retry_through_outage(
    call: Callable[[], T], subject: str, should_stop: Callable[[], bool] = lambda: False
) -> T:
    """Return the result of `call`, repeated while the database or the expression evaluator is
    unavailable. `subject` names the call in the log.

    Raises:
        RetryAbandoned: `should_stop` returned True between two tries.
    """
    delays: Iterator[float] | None = None
    evaluator_failed = False
    while True:
        try:
            result = call()
        except DatabaseUnavailable as error:
            POSTGRES.failed(error, subject=subject)
        except EvaluatorUnavailable as error:
            evaluator_failed = True
            EVALUATOR.failed(error, subject=subject)
        else:
            POSTGRES.answered()
            if evaluator_failed:
                EVALUATOR.answered()
            return result
        if should_stop():
            raise RetryAbandoned(subject)
        delays = delays or backoff_delays()
        # Sleep, then call again. Postgres sends no signal when it is available again, so only
        # another call shows it.
        time.sleep(next(delays))
