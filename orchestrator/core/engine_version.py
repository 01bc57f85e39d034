"""The engine version that decides an instance (DESIGN, Invariants, I12).

An instance starts under the engine of the release that starts it, and keeps it: its history is
replayed, and its next transition decided, by those rules only. A change of the core after which the
same stimulus would lead a running instance elsewhere gets a new number here, and keeps the old
rules as long as `SUPPORTED` names them. A release leaves instances of all other engines to workers
that support them.
"""

from __future__ import annotations

from orchestrator.errors import OrchestratorError

#: The engine of the instances that this release starts.
ENGINE = 1

#: The engines whose instances this release may decide.
SUPPORTED = frozenset({ENGINE})


class UnknownEngine(OrchestratorError):
    """The instance has an engine that this release does not support."""

    def __init__(self, instance: str, engine: int) -> None:
        supported = ", ".join(str(version) for version in sorted(SUPPORTED))
        super().__init__(
            f"instance {instance} is of engine {engine}; this release knows {supported}"
        )
        self.instance = instance
        self.engine = engine


def check(instance: str, engine: int) -> None:
    """Check that this release may decide the instance. Raises `UnknownEngine`."""
    if engine not in SUPPORTED:
        raise UnknownEngine(instance, engine)
