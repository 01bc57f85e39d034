"""Python as it is where only the product itself is installed: the top-level modules that
BENCH_HIDDEN names, which only tests and extras need, can't be imported."""

from __future__ import annotations

import os
import sys
from typing import Never

HIDDEN = frozenset(os.environ.get("BENCH_HIDDEN", "").split(","))


class Hiding:
    """Asked first of all for each module."""

    def find_spec(self, name: str, *_: object) -> None:
        """Refuse what is hidden; leave the rest to others."""
        if name.partition(".")[0] in HIDDEN:
            refuse(name)


def refuse(name: str) -> Never:
    """As if it were not installed."""
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Hiding())
