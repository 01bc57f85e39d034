"""The rows of the fault matrix: what is done to the product, under what load, what counts."""

from collections.abc import Mapping
from typing import Any

from tests.faults.rows import brokers, databases, machines, processes, soak, steps, webhooks
from tests.faults.rows.row import Row

ROWS = (
    *processes.ROWS,
    *databases.ROWS,
    *brokers.ROWS,
    *webhooks.ROWS,
    *steps.ROWS,
    *machines.ROWS,
    *soak.ROWS,
)

#: What every row's product is set to, unless it says otherwise.
DEFAULTS: Mapping[str, Any] = {"lease": 10, "republish_after": 2}

__all__ = ["DEFAULTS", "ROWS", "Row"]
