"""How many examples a property is tried with: all of them in `make verify`, a share of them in
`make test`."""

from __future__ import annotations

import os

#: Set by `tests/conftest.py`.
SHARE = "ORCHESTRATOR_TEST_EXAMPLES"


def examples(count: int) -> int:
    """The number of examples of this run, for `hypothesis.settings(max_examples=...)`."""
    return max(10, round(count * float(os.environ.get(SHARE, "1"))))
