"""Which processes a namespace may run, and how well they must be isolated."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.process_runner.isolation import Isolation


@dataclass(frozen=True, slots=True)
class ProcessPolicy:
    """Which kinds of processes the installation allows in one namespace, the least isolation that
    it accepts, and the bytes that a process may write."""

    allowed: frozenset[str] = frozenset()
    least_isolation: Isolation = Isolation.NAMESPACES
    max_output: int = 1 << 20
