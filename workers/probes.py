"""A health check for supervisors of containers; see `orchestrator.execution.health`."""

from __future__ import annotations

import sys

from orchestrator.execution.health import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
