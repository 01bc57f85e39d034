"""The place of our package `api`: beside `orchestrator` in a checkout, inside it once installed.

A user's project may have a package `api` too. If ours were installed at the top level as well, one
of the two would hide the other. So the wheel contains ours inside `orchestrator` (pyproject.toml),
and the API process, which runs no code of users, puts that folder first on its path.
"""

from __future__ import annotations

import sys
from pathlib import Path

import orchestrator

INSTALLED = Path(orchestrator.__file__).parent / "_bundled"
CHECKOUT = Path(orchestrator.__file__).parents[1]


def use_bundled_api() -> None:
    """Let ``import api`` find our package in this process."""
    sys.path.insert(0, str(INSTALLED if INSTALLED.is_dir() else CHECKOUT))
