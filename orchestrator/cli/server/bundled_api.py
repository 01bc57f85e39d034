"""Where our package `api` stands: beside this one in a checkout, inside it once installed.

A project of users' may have an `api` of its own. Were ours a top-level package in the same
environment, one would take the place of the other: the project's, wherever its folder comes
first on the path, and whichever was installed last, if the project is installed too. So the
wheel carries ours inside `orchestrator` (pyproject.toml), and the one process that uses it,
which runs no code of users', puts that folder first on its own path.
"""

from __future__ import annotations

import sys
from pathlib import Path

import orchestrator

INSTALLED = Path(orchestrator.__file__).parent / "_bundled"
CHECKOUT = Path(orchestrator.__file__).parents[1]


def use_bundled_api() -> None:
    """From now on ``import api`` finds ours in this process, whatever the path had before."""
    sys.path.insert(0, str(INSTALLED if INSTALLED.is_dir() else CHECKOUT))
