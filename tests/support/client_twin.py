"""Writes the client's generated files: ``python -m tests.support.client_twin``.

1. From the API's description (OpenAPI): `api_types.py`, a `TypedDict` for every schema, and
   `asynchronous/operations/`, a typed method for every operation.
2. From the asynchronous client the synchronous one: the same code without `async` and `await`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.api import Api
from tests.support.client_operations import name_of, operation_files, operations, types_file

CLIENT = Path(__file__).parents[2] / "orchestrator" / "client"
SOURCE, TWIN = CLIENT / "asynchronous", CLIENT / "synchronous"
COMMAND = "python -m tests.support.client_twin"

#: What each word of the asynchronous code is in the synchronous one, in this order.
WORDS = [
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bimport asyncio\b", "import time"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\baclosing\b", "closing"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\bAsyncGenerator\[(.*), None\]", r"Generator[\1, None, None]"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\ba(close|read|iter_lines)\b", r"\1"),
    (r"\bclient\.asynchronous\b", "client.synchronous"),
    (r"\bthe asynchronous client\b", "the synchronous client"),
]


def description() -> dict[str, Any]:
    """The API's description."""
    api = Api.on("postgresql://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1/0")
    return api.description.spec


def operation_names() -> dict[str, str]:
    """Every operation of the API, and the name of its method."""
    return {
        f"{method.upper()} {path}": name_of(method, path, described)
        for method, path, described in operations(description())
    }


def formatted(code: str, path: Path) -> str:
    """Code as ruff writes it."""
    ruff = [sys.executable, "-m", "ruff"]
    name = ["--stdin-filename", str(path), "-"]
    for step in (["check", "--fix-only", "--unsafe-fixes", "--quiet"], ["format", "--quiet"]):
        done = subprocess.run([*ruff, *step, *name], input=code, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        code = done.stdout
    return code


def generated(spec: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """The files that are made from the description."""
    path = CLIENT / "api_types.py"
    yield path, formatted(types_file(spec, COMMAND), path)
    for name, code in operation_files(spec, COMMAND):
        path = SOURCE / "operations" / name
        yield path, formatted(code, path)


def twins(sources: dict[Path, str]) -> Iterator[tuple[Path, str]]:
    """The files of the synchronous client."""
    for path, code in sources.items():
        twin = TWIN / path.relative_to(SOURCE)
        yield twin, formatted(synchronous(code, path), twin)


def synchronous(code: str, path: Path) -> str:
    """A file's code without `async`."""
    if path == SOURCE / "__init__.py":
        return '"""The synchronous client, written from the asynchronous one."""\n'
    for pattern, word in WORDS:
        code = re.sub(pattern, word, code)
    if COMMAND in code:  # made from the description, which its head says
        return code
    head, _, rest = code.partition("from __future__")
    head = head.rstrip()
    said = f"# Written from {path.relative_to(CLIENT)} by: {COMMAND}\n"
    return f"{head}\n\n{said}\nfrom __future__{rest}" if rest else head + "\n"


def files() -> dict[Path, str]:
    """Every generated file, and what it must contain."""
    made = dict(generated(description()))
    sources = {path: path.read_text() for path in sorted(SOURCE.rglob("*.py"))}
    own = {path: code for path, code in sources.items() if path.parent == SOURCE}
    own |= {path: code for path, code in made.items() if path.is_relative_to(SOURCE)}
    return {**made, **dict(twins(own))}


def stale(made: dict[Path, str]) -> set[Path]:
    """Files in the generated folders that nothing makes any more."""
    found = {*TWIN.rglob("*.py"), *(SOURCE / "operations").rglob("*.py")}
    return found - made.keys()


def write() -> None:
    """Write every generated file, and remove those that nothing makes any more."""
    made = files()
    for path, code in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    for path in stale(made):
        path.unlink()


if __name__ == "__main__":
    write()
