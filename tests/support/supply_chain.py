"""What the wheel needs and contains as a CycloneDX list, and whether any has a known vulnerability.

``python -m tests.support.supply_chain dist/sbom.json``. Without pip-audit, npm or their databases
it says so and succeeds: a machine without a network can check nothing.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PRODUCT = "celery-orchestrator"
#: Exit status of pip-audit when it has found vulnerabilities, and its text in that case.
FOUND, VULNERABLE = 1, "known vulnerabilit"
#: What pip-audit says of a package that its database does not have.
UNKNOWN = "could not be audited"
CONSOLE = Path(__file__).parents[2] / "console"


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
    if done.returncode or done.stdout.count(UNKNOWN) >= len(lines):
        print("not audited: the database of vulnerabilities can't be reached")
    return 0


def console_components(lock: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the packages that the console's pages contain, of a `package-lock.json`."""
    return [
        _npm_component(path.rpartition("node_modules/")[2], about["version"])
        for path, about in sorted(lock["packages"].items())
        if path and not about.get("dev") and "version" in about
    ]


def _npm_component(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:npm/{name.replace('@', '%40')}@{version}"
    return {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}


def audit_console() -> int:
    """Ask npm about the packages in the console's pages. Return 1 where it knows a vulnerability of
    a high severity."""
    if shutil.which("npm") is None:
        print("console not audited: npm is not installed")
        return 0
    command = ["npm", "audit", "--package-lock-only", "--omit=dev", "--audit-level=high", "--json"]
    done = subprocess.run(command, cwd=CONSOLE, capture_output=True, text=True, check=False)
    return npm_verdict(done.returncode, done.stdout)


def npm_verdict(status: int, output: str) -> int:
    """Print what npm's JSON says, and return 1 where it knows a vulnerability."""
    try:
        report = json.loads(output)
        counts = report["metadata"]["vulnerabilities"]
    except (ValueError, KeyError, TypeError):
        print("console not audited: npm's database of vulnerabilities can't be reached")
        return 0
    print(f"console: {counts['total']} known vulnerabilities")
    for name, found in sorted(report.get("vulnerabilities", {}).items()):
        print(f"  {name} {found.get('range', '')}: {found.get('severity', '')}")
    return 1 if status else 0


def main(path: str) -> int:
    """Write the list to a file, then audit it."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    found = closure(PRODUCT, frozenset({"all"}))
    lock = json.loads((CONSOLE / "package-lock.json").read_text(encoding="utf-8"))
    pages = console_components(lock)
    listed = bill(found)
    listed["components"] += pages
    target.write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    print(f"{len(found) - 1} dependencies, {len(pages)} packages in the console: {target}")
    return max(audit(found, target.parent), audit_console())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
