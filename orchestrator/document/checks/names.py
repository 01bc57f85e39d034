"""Names of tasks and variables."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from orchestrator.document.checks.check_context import Context
from orchestrator.document.checks.flow_targets import DIRECTIVES
from orchestrator.document.expression_fields import ARGUMENTS
from orchestrator.document.message_text import quoted
from orchestrator.document.task_sites import TaskSite

MAX_NAME = 255

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

#: Unicode categories that are invisible: controls, formats, lines, private use.
_INVISIBLE = ("Cc", "Cf", "Cn", "Co", "Zl", "Zp")


def check(context: Context) -> None:
    """Check that names are readable and variables usable in an expression."""
    for site in context.sites:
        _check_task(context, site)
        _check_directive_name(context, site)
        variables = list(_variables(site))
        for pointer, name in variables:
            _check_variable(context, pointer, name)
        _check_distinct(context, site, variables)


def _check_task(context: Context, site: TaskSite) -> None:
    if not site.name:
        context.error(site.pointer, "a task needs a name", at_key=True)
    elif len(site.name) > MAX_NAME:
        message = f"the name has {len(site.name)} characters; the limit is {MAX_NAME}"
        context.error(site.pointer, message, at_key=True)
    elif not site.name.isascii() or not site.name.isprintable():
        unseen = [each for each in site.name if unicodedata.category(each) in _INVISIBLE]
        if unseen:
            message = f"the name has a character that cannot be seen (U+{ord(unseen[0]):04X})"
            context.error(site.pointer, message, at_key=True)


def _check_directive_name(context: Context, site: TaskSite) -> None:
    if site.name in DIRECTIVES and site.siblings:
        message = f"'then: {site.name}' is a directive and will not lead to this task"
        context.warn(site.pointer, message, at_key=True)


def check_duplicates(context: Context) -> None:
    """Warn of two tasks of one name in a list. The specification calls lists of tasks maps by name
    but does not forbid this; `then` leads to the first."""
    seen: set[tuple[str, str]] = set()
    for site in context.sites:
        if site.siblings.get(site.name, 0) < 2:
            continue
        place = site.pointer.rsplit("/", 2)[0], site.name
        if place in seen:
            message = f"a second task {quoted(site.name)}; 'then' leads to the first"
            context.warn(site.pointer, message, at_key=True)
        seen.add(place)


def _variables(site: TaskSite) -> Iterator[tuple[str, str]]:
    if site.kind == "for":
        for key in ("each", "at"):
            if key in site.body["for"]:
                yield f"{site.pointer}/for/{key}", site.body["for"][key]
    elif site.kind == "try" and "as" in site.body["catch"]:
        yield f"{site.pointer}/catch/as", site.body["catch"]["as"]
    elif site.kind == "listen":
        for key in ("item", "at"):
            if key in (site.body.get("foreach") or {}):
                yield f"{site.pointer}/foreach/{key}", site.body["foreach"][key]


def _check_distinct(context: Context, site: TaskSite, variables: list[tuple[str, str]]) -> None:
    """Check that the two variables of a loop have different names."""
    names = {pointer.rpartition("/")[2]: name for pointer, name in variables}
    if site.kind == "try" or not names:
        return
    item = names.get("each", names.get("item", "item"))
    if item == names.get("at", "index"):
        message = f"'${item}' cannot be both the item and its index"
        context.error(variables[-1][0], message)


def _check_variable(context: Context, pointer: str, name: str) -> None:
    if _VARIABLE.fullmatch(name) is None:
        message = f"{quoted(name)} cannot be the name of a variable: letters, digits and '_' only"
        context.error(pointer, message)
    elif name.startswith("__") or name == "ENV":
        context.error(pointer, f"the variable '${name}' is reserved")
    elif name in ARGUMENTS:
        context.warn(pointer, f"the variable hides '${name}' of the language")
