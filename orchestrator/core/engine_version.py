"""Which rules an instance is decided by (DESIGN, Invariants, I12).

An instance is begun under the engine of the release that starts it, and keeps it: its history
is replayed, and its next transition decided, by those rules and no others. A change of the core
by which the same stimulus would lead an instance that is under way somewhere else has a new
number here, and keeps what it replaces for as long as `KNOWN` names it. A release leaves an
instance of any other engine alone, for the workers that know it.
"""

from __future__ import annotations

from orchestrator.errors import OrchestratorError

#: The engine of the instances that this release starts.
ENGINE = 1

#: The engines whose instances it may decide.
SUPPORTED = frozenset({ENGINE})


class UnknownEngine(OrchestratorError):
    """The instance is of an engine that this release does not know."""

    def __init__(self, instance: str, engine: int) -> None:
        known = ", ".join(str(each) for each in sorted(SUPPORTED))
        super().__init__(f"instance {instance} is of engine {engine}; this release knows {known}")
        self.instance = instance
        self.engine = engine


def check(instance: str, engine: int) -> None:
    """Whether this release may decide the instance. Raises `UnknownEngine`."""
    if engine not in SUPPORTED:
        raise UnknownEngine(instance, engine)
