"""The fast path: plain paths and literals, evaluated in Python as jq would.

    .            .a.b[0]          .a["b c"]        $input.x         "text"        12        true

Only what a property test has proven equal to jq is here, errors included; every other
program is left to the sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.expressions.rules import Program

Json = Any
Fast = Callable[[Json, Mapping[str, Json]], Json]


def compiled(program: Program) -> Fast | None:
    """A function equal to the program, or None if it is not plain enough."""
    return None
