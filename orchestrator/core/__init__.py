"""The interpreter: pure, without input or output, clock or chance.

    transition = advance(workflow, slice, stimulus, evaluate)

See `values` for what it takes and returns, `advance` for how it works.
"""

from orchestrator.core.advance import advance
from orchestrator.core.bounds import Bounds

__all__ = ["Bounds", "advance"]
