"""Doing a thing again until the infrastructure answers.

While Postgres is away nobody knows what was done; every call made through here may be made
again (claims and ends carry tokens), so it is made again, in place, until there is an answer.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from orchestrator.errors import DatabaseUnavailable
from orchestrator.expressions import EvaluatorUnavailable
from orchestrator.log import get_logger

log = get_logger(__name__)

T = TypeVar("T")

FIRST, LONGEST = 0.05, 2.0


class RetryAbandoned(Exception):
    """The caller had a reason not to wait for the database any longer."""


def backoff_delays() -> Iterator[float]:
    """Seconds to wait before each further try: doubled up to a bound, spread by chance so
    that a fleet does not come back as one."""
    delay = FIRST
    while True:
        yield delay * random.uniform(0.5, 1.0)  # noqa: S311  no secret
        delay = min(delay * 2, LONGEST)


def retry_through_outage(
    call: Callable[[], T], what: str, give_up: Callable[[], bool] = lambda: False
) -> T:
    """The answer of `call`, which is repeated while the database, or what evaluates
    expressions, is away.

    Raises:
        GaveUp: `give_up` said so between two tries.
    """
    waits: Iterator[float] | None = None
    while True:
        try:
            return call()
        except (DatabaseUnavailable, EvaluatorUnavailable) as error:
            log.warning("Waiting, to try again", action="waiting", what=what, error=str(error))
        if give_up():
            raise RetryAbandoned(what)
        waits = waits or backoff_delays()  # seldom needed, and chance costs something
        # No event tells that a database is back: asking it does.
        time.sleep(next(waits))
