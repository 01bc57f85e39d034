"""The wheel's dependencies as a CycloneDX list, and whether any has a known vulnerability.

``python -m tests.support.supply_chain dist/sbom.json``. Without pip-audit or its database it says
so and succeeds: a machine without a network can check nothing.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PRODUCT = "celery-orchestrator"
#: Exit status of pip-audit when it has found vulnerabilities, and its text in that case.
FOUND, VULNERABLE = 1, "known vulnerabilit"


def closure(name: str, extras: frozenset[str]) -> dict[str, Distribution]:
    """Return the installed distributions that a distribution needs with these extras."""
    found: dict[str, Distribution] = {}
    visited: set[tuple[str, frozenset[str]]] = set()
    waiting = [(canonicalize_name(name), extras)]
    while waiting:
        key = waiting.pop()
        if key in visited:
            continue
        visited.add(key)
        try:
            found[key[0]] = distribution(key[0])
        except PackageNotFoundError:
            continue  # its extra is not installed here
        for text in found[key[0]].requires or ():
            needed = Requirement(text)
            chosen = ({"extra": extra} for extra in (*key[1], ""))
            if needed.marker is None or any(needed.marker.evaluate(each) for each in chosen):
                waiting.append((canonicalize_name(needed.name), frozenset(needed.extras)))
    return found


def bill(found: dict[str, Distribution]) -> dict[str, Any]:
    """Return the list in the form of CycloneDX 1.5."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": _component(found[PRODUCT], "application")},
        "components": [
            _component(each, "library") for name, each in sorted(found.items()) if name != PRODUCT
        ],
    }


def _component(each: Distribution, kind: str) -> dict[str, Any]:
    name, version = canonicalize_name(each.metadata["Name"]), each.version
    purl = f"pkg:pypi/{name}@{version}"
    return {"type": kind, "name": name, "version": version, "purl": purl, "bom-ref": purl}


def audit(found: dict[str, Distribution], folder: Path) -> int:
    """Ask pip-audit about these versions. Return 1 where it knows a vulnerability."""
    if importlib.util.find_spec("pip_audit") is None:
        print("not audited: pip-audit is not installed (pip install pip-audit)")
        return 0
    pins = folder / "audited.txt"
    lines = [f"{name}=={each.version}" for name, each in sorted(found.items()) if name != PRODUCT]
    pins.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "-r", str(pins)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout + done.stderr[-2000:])
    if done.returncode == FOUND and VULNERABLE in done.stdout + done.stderr:
        return 1
    if done.returncode:
        print("not audited: the database of vulnerabilities can't be reached")
    return 0


def main(path: str) -> int:
    """Write the list to a file, then audit it."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    found = closure(PRODUCT, frozenset({"all"}))
    target.write_text(json.dumps(bill(found), indent=2) + "\n", encoding="utf-8")
    print(f"{len(found) - 1} dependencies: {target}")
    return audit(found, target.parent)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
