"""The rows of the fault matrix: what is done to the product, under what load, what counts."""

from collections.abc import Mapping
from typing import Any

from tests.faults.rows import (
    brokers,
    databases,
    machines,
    outbox,
    processes,
    soak,
    steps,
    upgrades,
    webhooks,
)
from tests.faults.rows.row import Row, without_continuation

_ALL = (
    *processes.ROWS,
    *outbox.ROWS,
    *databases.ROWS,
    *brokers.ROWS,
    *webhooks.ROWS,
    *steps.ROWS,
    *machines.ROWS,
    *soak.ROWS,
)

#: Those whose faults strike where a worker goes on with the step that it made ready: their twins
#: have workers that never do.
CONTINUED = (
    "kill -9 of a worker's child",
    "rolling SIGTERM",
    "Postgres crashes and restarts",
    "the reply of a COMMIT is lost",
    "FLUSHALL",
    "each message ten times, shuffled",
)
ROWS = (
    *_ALL,
    *(without_continuation(row) for row in _ALL if row.name in CONTINUED),
    *upgrades.ROWS,  # it goes on until the upgrade is done: the last one takes from no other
)

#: What every row's product is set to, unless it says otherwise.
DEFAULTS: Mapping[str, Any] = {"lease": 10, "republish_after": 2}

__all__ = ["DEFAULTS", "ROWS", "Row"]
