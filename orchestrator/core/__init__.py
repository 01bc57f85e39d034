"""The interpreter: pure, without input or output, clock or random source.

    transition = advance(workflow, slice, stimulus, evaluate)

`model` defines what it takes and returns, `advance` explains how it works.
"""

from orchestrator.core.advance import advance
from orchestrator.core.bounds import Bounds

__all__ = ["Bounds", "advance"]
