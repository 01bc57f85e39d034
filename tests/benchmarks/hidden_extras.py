"""What users have installed, where more is installed for the tests."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.stack import ROOT

PLAIN = Path(__file__).with_name("plain")
PRODUCT = "celery-orchestrator"
#: The extras of an installation that serves the API.
PARTS = frozenset({"server", "binary", "metrics", "secrets"})


def plainly() -> dict[str, str]:
    """The environment of a Python process that finds what `PARTS` install, and nothing that only
    the other extras or the tests need."""
    wanted = frozenset(_needed(PRODUCT, set(), PARTS))
    hidden = [
        module
        for module, names in packages_distributions().items()
        if not wanted.intersection(map(canonicalize_name, names)) and _is_apart(names)
    ]
    return {"PYTHONPATH": f"{PLAIN}:{ROOT}", "BENCH_HIDDEN": ",".join(sorted(hidden))}


def _is_apart(names: list[str]) -> bool:
    """Whether it is installed beside the product, and is not Python's own."""
    home = Path(sysconfig.get_path("purelib"))
    return all(Path(str(distribution(name).locate_file(""))) == home for name in names)


def _needed(name: str, seen: set[str], extras: frozenset[str] = frozenset()) -> Iterator[str]:
    """A distribution and all that it requires, with these extras of it."""
    name = canonicalize_name(name)
    yield name
    for text in requires(name) or ():
        found = Requirement(text)
        wanted = [{"extra": extra} for extra in extras or {""}]
        key = f"{found.name}[{','.join(sorted(found.extras))}]"
        if key in seen or (found.marker and not any(map(found.marker.evaluate, wanted))):
            continue
        seen.add(key)
        yield from _needed(found.name, seen, frozenset(found.extras))
