"""Rules that the schema cannot express. Each check covers one topic of a schema-valid document."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.document.checks import (
    calls,
    data_schemas,
    dsl_version,
    durations_and_schedules,
    event_consumption,
    expressions,
    flow_targets,
    http,
    literal_texts,
    metadata,
    names,
    processes,
    recursion,
    references,
    size,
)
from orchestrator.document.checks.check_context import BUILT_KINDS, CheckEnvironment, Context

__all__ = ["BUILT_KINDS", "CHECKS", "CheckEnvironment", "Context"]

#: All checks, in the order in which they run. Expressions come last because they cost the most.
CHECKS: tuple[Callable[[Context], None], ...] = (
    size.check,
    literal_texts.check,
    dsl_version.check,
    metadata.check,
    names.check,
    names.check_duplicates,
    flow_targets.check,
    references.check,
    calls.check,
    processes.check,
    event_consumption.check,
    recursion.check,
    durations_and_schedules.check,
    http.check,
    data_schemas.check,
    expressions.check,
)
