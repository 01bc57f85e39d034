"""What the schema cannot say: each check looks at one topic of a valid document."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.document.checks import (
    bounds,
    calls,
    events,
    expressions,
    flow,
    http,
    language,
    metadata,
    names,
    recursion,
    references,
    schemas,
    texts,
    times,
)
from orchestrator.document.checks.context import BUILT_KINDS, Context, Surroundings

__all__ = ["BUILT_KINDS", "CHECKS", "Context", "Surroundings"]

#: Expressions come last: they cost the most.
CHECKS: tuple[Callable[[Context], None], ...] = (
    bounds.check,
    texts.check,
    language.check,
    metadata.check,
    names.check,
    names.duplicates,
    flow.check,
    references.check,
    calls.check,
    events.check,
    recursion.check,
    times.check,
    http.check,
    schemas.check,
    expressions.check,
)
