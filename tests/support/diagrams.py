"""Draws the documentation's diagrams from the code's own tables: the legal moves of
`core.legal_status_changes`, and the imports between components in the layers of pyproject.toml.

    python -m tests.support.diagrams     writes docs/states.md and docs/architecture.md
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from orchestrator.core.legal_status_changes import ATTEMPT, COMPENSATION, INSTANCE, STEP
from orchestrator.core.model import AttemptState, Compensation, Status

ROOT = Path(__file__).parents[2]
_MADE = "<!-- made by `python -m tests.support.diagrams`: change the code, not this page -->\n"

_STATES = """\
# States

The legal changes of state. The diagrams are drawn from the tables in
`orchestrator/core/legal_status_changes.py`, which the core enforces: any other change
raises an error and commits nothing.
"""
_ARCHITECTURE = """\
# Architecture

Arrows are imports between components, read from the code. Arrows that follow from others are left
out. Boxes around components are layers: imports run downward only, which `make lint` checks.
"""

#: Each table with its title, its first state, and a note for the reader.
_TABLES: tuple[tuple[str, Mapping[Any, frozenset[Any]], StrEnum, str], ...] = (
    (
        "An instance",
        INSTANCE,
        Status.PENDING,
        "A cancelled or faulted instance goes on only by `retry`, as a new numbered run.",
    ),
    (
        "A step",
        STEP,
        Status.PENDING,
        "An ended step changes only by a repair, or when a withdrawn attempt of it ends late.",
    ),
    (
        "An attempt",
        ATTEMPT,
        AttemptState.READY,
        "Claiming it gives a worker the lease. Each of the four ends is final.",
    ),
    (
        "The compensation of an instance",
        COMPENSATION,
        Compensation.NONE,
        "It goes back to `none` where nothing had completed that can be undone.",
    ),
)


def states() -> str:
    """Return the page of the state diagrams."""
    parts = [_STATES, _MADE]
    for title, table, first, note in _TABLES:
        parts.append(f"## {title}\n\n```mermaid\n{_diagram(table, first)}\n```\n\n{note}\n")
    return "\n".join(parts)


def _diagram(table: Mapping[Any, frozenset[Any]], first: StrEnum) -> str:
    lines = ["stateDiagram-v2", f"  [*] --> {first.value}"]
    for old, news in table.items():
        lines += [f"  {old.value} --> {new.value}" for new in type(old) if new in news]
        if not news:
            lines.append(f"  {old.value} --> [*]")
    return "\n".join(lines)


def architecture() -> str:
    """Return the page of the components."""
    layers = _layers()
    known = {name for layer in layers for name in layer}
    edges = _reduced({name: _imports(name, known) for name in known})
    lines = ["flowchart TB"]
    for number, layer in enumerate(layers):
        lines.append(f"  subgraph layer{number}[ ]")
        lines += [f"    {_id(name)}[{_short(name)}]" for name in layer]
        lines.append("  end")
    order = [name for layer in layers for name in layer]
    lines += [f"  {_id(a)} --> {_id(b)}" for a in order for b in order if b in edges[a]]
    drawn = "\n".join(["```mermaid", *lines, "```"])
    rows = [f"| `{_path(name)}` | {_summary(name)} |" for name in order]
    table = "\n".join(["| where | what it is |", "|---|---|", *rows])
    return f"{_ARCHITECTURE}\n{_MADE}\n{drawn}\n\n{table}\n"


def _layers() -> list[list[str]]:
    """Return the layers of import-linter's contract, the highest first, without the shared
    modules."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = config["tool"]["importlinter"]["contracts"][0]
    (container,) = contract["containers"]
    layers = [
        [f"{container}.{name.strip('() ')}" for name in each.split("|")]
        for each in contract["layers"]
    ]
    found = [[name for name in layer if _file(name) is not None] for layer in layers[:-1]]
    return [found[0], ["api", "workers"], *found[1:]]


def _file(name: str) -> Path | None:
    place = ROOT / name.replace(".", "/")
    files = (place / "__init__.py", place.with_suffix(".py"))
    return next((file for file in files if file.exists()), None)


def _path(name: str) -> str:
    file = _file(name)
    assert file is not None
    return str((file.parent if file.name == "__init__.py" else file).relative_to(ROOT))


def _summary(name: str) -> str:
    """Return the first paragraph of a component's docstring."""
    file = _file(name)
    assert file is not None
    text = ast.get_docstring(ast.parse(file.read_text())) or _WITHOUT_DOCSTRING.get(name, "")
    return " ".join(text.partition("\n\n")[0].split()).replace("|", "\\|")


#: Packages without a docstring of their own.
_WITHOUT_DOCSTRING = {
    "api": "The REST API: one blueprint per resource.",
    "workers": "The worker and beat processes.",
    "orchestrator.database": "Tables, migrations, one module of queries per table; the only SQL.",
}


def _imports(name: str, known: set[str]) -> set[str]:
    """Return the other components that any file of this component imports."""
    file = _file(name)
    assert file is not None
    files = file.parent.rglob("*.py") if file.name == "__init__.py" else [file]
    found = {
        component
        for each in files
        for module in _imported(ast.parse(each.read_text()))
        for component in known
        if module == component or module.startswith(component + ".")
    }
    return found - {name}


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _reduced(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """Remove the edges that follow from others."""

    def reached(start: str, seen: set[str]) -> set[str]:
        for following in edges[start] - seen:
            seen.add(following)
            reached(following, seen)
        return seen

    far = {name: {one for near in edges[name] for one in reached(near, set())} for name in edges}
    return {name: edges[name] - far[name] for name in edges}


def _id(name: str) -> str:
    return name.replace(".", "_")


def _short(name: str) -> str:
    return name.removeprefix("orchestrator.")


PAGES = {"docs/states.md": states, "docs/architecture.md": architecture}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (ROOT / page).write_text(make())
