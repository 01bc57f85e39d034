"""Sets of statuses as SQL text.

Literals, not parameters: Postgres uses a partial index only where a statement repeats the
literals of the index.
"""

from __future__ import annotations

from collections.abc import Collection

from orchestrator.core.model import ENDED_STATUSES, OPEN_STATUSES, Status


def _literals(statuses: Collection[Status]) -> str:
    return "({})".format(", ".join(f"'{one}'" for one in Status if one in statuses))


#: For ``status in {OPEN}``: an instance or a step that has not ended.
OPEN = _literals(OPEN_STATUSES)
#: Open, and not suspended.
UNSUSPENDED = _literals(OPEN_STATUSES - {Status.SUSPENDED})
ENDED = _literals(ENDED_STATUSES)
