"""Check where tasks lead: `then` within its list, cases of a `switch` (dsl-reference.md, Flow
Directive, Switch)."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.document.checks.check_context import Context
from orchestrator.document.message_text import quoted
from orchestrator.document.model import escape
from orchestrator.document.task_sites import TaskSite, Within

DIRECTIVES = ("continue", "exit", "end")


def check(context: Context) -> None:
    """Check that targets exist and that a `switch` has at most one default."""
    for site in context.sites:
        for pointer, target in _directives(site):
            if target not in DIRECTIVES and target not in site.siblings:
                context.error(pointer, _unknown_target_message(context, site, target))
        if site.kind == "switch":
            _check_defaults(context, site)


def _directives(site: TaskSite) -> Iterator[tuple[str, str]]:
    if "then" in site.body:
        yield f"{site.pointer}/then", site.body["then"]
    if site.kind == "switch":
        for index, item in enumerate(site.body["switch"]):
            for name, case in item.items():
                yield f"{site.pointer}/switch/{index}/{escape(name)}/then", case["then"]
    elif site.kind == "try" and "then" in site.body["catch"]:
        yield f"{site.pointer}/catch/then", site.body["catch"]["then"]


def _unknown_target_message(context: Context, site: TaskSite, target: str) -> str:
    if not site.siblings:
        where = "a branch" if site.within is not Within.FUNCTION else "a function"
        if site.within is Within.COMPENSATION:
            where = "a compensation"
        return f"{quoted(target)} cannot be reached from {where}: only directives are allowed"
    meant = context.meant(target, site.siblings, DIRECTIVES)
    return f"no task {quoted(target)} in this list{meant}"


def _check_defaults(context: Context, site: TaskSite) -> None:
    """Report a second default case. The specification: "there can be only one default case"."""
    seen = None
    for index, item in enumerate(site.body["switch"]):
        for name, case in item.items():
            if "when" in case:
                continue
            if seen is not None:
                pointer = f"{site.pointer}/switch/{index}/{escape(name)}"
                message = f"a second default: {quoted(seen)} has no 'when' either"
                context.error(pointer, message, at_key=True)
            seen = seen or name
