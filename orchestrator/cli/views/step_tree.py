"""Draws an instance as a tree of its steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from orchestrator.cli.output import coloured
from orchestrator.cli.views.history_lines import person
from orchestrator.cli.views.step_details import attempt_line
from orchestrator.client import Run, Step
from orchestrator.terminal_text import visible

_MARKS = {
    "completed": ("✓", "green"),
    "faulted": ("✗", "red"),
    "cancelled": ("■", "yellow"),
    "suspended": ("‖", "yellow"),
    "waiting": ("…", "blue"),
    "running": ("▸", "cyan"),
    "pending": ("·", "dim"),
}


def step_tree(run: Run, steps: Iterable[Step]) -> RenderableType:
    """Return the tree of `steps` under a line with the status of the instance."""
    children: dict[int, list[Step]] = defaultdict(list)
    undone: set[int] = set()
    for step in steps:
        children[step.parent].append(step)
        if step.compensates is not None and step.status == "completed":
            undone.add(step.compensates)
    tree = Tree(_headline(run), guide_style="dim")
    _add_children(tree, 0, children, undone)
    return Group(tree)


def _add_children(
    tree: Tree, parent: int, children: dict[int, list[Step]], undone: set[int]
) -> None:
    for step in children.get(parent, ()):
        branch = tree.add(_line(step, step.id in undone))
        if len(step.attempts) > 1:
            for attempt in step.attempts:
                if attempt.error:
                    branch.add(Text(attempt_line(attempt), style="dim"))
        _add_children(branch, step.id, children, undone)


def _headline(run: Run) -> Text:
    line = Text.assemble((f"{run.workflow} {run.version}", "bold"), "  ", coloured(run.status))
    if run.compensation != "none":
        line.append_text(Text.assemble("  compensation ", coloured(run.compensation)))
    return line


def _line(step: Step, undone: bool) -> Text:
    mark, style = _MARKS.get(step.status, ("?", ""))
    link = step.attempts[-1].flower_url if step.attempts else None
    line = Text.assemble((mark, style), " ", (visible(step.name), f"link {link}" if link else ""))
    if step.compensates is not None:
        line.append(" (undoing)", style="magenta")
    if undone:
        line.append(" undone", style="magenta")
    if step.status not in ("completed", "running"):
        line.append_text(Text.assemble(" ", coloured(step.status)))
    if step.data.get("outcome") == "unknown":
        line.append(_unknown(step), style="magenta")
    line.append(_details(step), style="dim")
    return line


def _unknown(step: Step) -> str:
    """Say whether a faulted step may have done its work."""
    lost = bool(step.attempts) and step.attempts[-1].state == "lost"
    return " outcome unknown" if lost else " its work was done"


def _details(step: Step) -> str:
    """Return the text after the name: duration, attempts, worker, error."""
    parts = [_duration(step.data.get("started_at"), step.data.get("ended_at"))]
    if len(step.attempts) > 1:
        parts.append(f"attempt {len(step.attempts)}")
    if step.attempts and step.attempts[-1].worker:
        parts.append(f"on {step.attempts[-1].worker}")
    if step.child:
        parts.append(f"sub-workflow {step.child}")
    if step.skipped:
        parts.append(f"skipped {person(step.skipped)}".rstrip())
    if step.data.get("recorded"):
        parts.append(f"its attempt {step.data['recorded']}; it continues after resume")
    if step.error:
        parts.append(str(step.error.get("detail") or step.error.get("title") or ""))
    return visible("".join(f"  {part}" for part in parts if part))


def _duration(start: str | None, end: str | None) -> str:
    if not start or not end:
        return ""
    seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
