"""The conflict of a start whose business id is in use."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from api.http import problem_types
from api.http.app_state import state
from api.http.problems import Problem
from api.shared.workflow_cache import CachedVersion
from orchestrator.database.instances import instance_queries
from orchestrator.database.instances.instance_queries import NewStart
from orchestrator.settings import variable


@dataclass(frozen=True, slots=True)
class CheckedStart:
    """A valid start, the version that it runs and its JSON pointer in the request."""

    new: NewStart
    version: CachedVersion
    pointer: str


def conflict(starts: list[CheckedStart]) -> Problem:
    """Return the problem of business ids that are in use, or repeated in the request."""
    named = [
        ((start.version.namespace, start.new.business_id), start.pointer)
        for start in starts
        if start.new.business_id is not None
    ]
    holders = instance_queries.instances_by_business_id(
        state().services.database,
        [name[0] for name, _ in named],
        [name[1] for name, _ in named],
    )
    counts = Counter(name for name, _ in named)
    errors: list[dict[str, Any]] = []
    for name, pointer in named:
        error = {"pointer": f"{pointer}/business_id"}
        if name in holders:
            message = f"the business_id {name[1]!r} is taken by the instance {holders[name]}; "
            error |= {"message": message + _free_when(), "instance": holders[name]}
            errors.append(error)
        elif counts[name] > 1:
            errors.append(error | {"message": f"the business_id {name[1]!r} occurs twice"})
    located = len(starts) == 1 and errors and "instance" in errors[0]
    headers = {"Location": f"/v1/instances/{errors[0]['instance']}"} if located else {}
    detail = errors[0]["message"] if errors else None
    return Problem(problem_types.BUSINESS_ID, detail, errors, headers)


def _free_when() -> str:
    """Return when a business id becomes free: when the row of its instance is archived."""
    settings, setting = state().services.settings, variable("instance_retention")
    if settings.instance_retention and settings.archive_dir:
        days = settings.instance_retention / 86400
        return f"it becomes free when that is archived, {days:g} days after its end ({setting})"
    return f"it stays taken after the end, for instances are kept: see {setting}"
