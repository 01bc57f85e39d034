"""A health check for supervisors of containers; see
`orchestrator.execution.entry_points.health_check`."""

from __future__ import annotations

import sys

from orchestrator.execution.entry_points.health_check import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
