"""Every task of a document with its siblings and the variables in scope.

The checks at deployment use this walk: it visits each task once, also in lists that only the checks
read. The core uses `model`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orchestrator.document.model import COMPENSATE, escape, kind_of

Json = Any


class Within(StrEnum):
    """The part of the document that contains a task."""

    WORKFLOW = "workflow"
    FUNCTION = "function"
    EXTENSION = "extension"
    COMPENSATION = "compensation"


@dataclass(frozen=True, slots=True)
class TaskSite:
    """A task and its surroundings.

    `siblings` maps the names in its list, including its own, to their counts. It is empty for a
    task without siblings and for a branch of a `fork`, which is a scope of its own. `variables` are
    those of the surrounding tasks; None if they are unknown because several places can call the
    task.
    """

    pointer: str
    name: str
    body: dict[str, Json]
    kind: str
    siblings: Mapping[str, int]
    variables: frozenset[str] | None
    within: Within

    @property
    def metadata(self) -> dict[str, Json]:
        """The author's `metadata`."""
        return self.body.get("metadata") or {}

    def also(self, *names: str) -> frozenset[str] | None:
        """Return the variables in scope and these."""
        return None if self.variables is None else self.variables | set(names)


def sites(document: dict[str, Json], unsound: Container[str] = ()) -> Iterator[TaskSite]:
    """Yield every task of a schema-valid document, parents first.

    The schema of the language does not check `metadata`. If the `compensate` of a site is not a
    valid task, the caller adds the site's pointer to `unsound` before it takes the next site.
    """
    waiting = [*_outermost(document)][::-1]
    while waiting:
        site = waiting.pop()
        yield site
        waiting += [*_inside(site)][::-1]
        if "compensate" in site.metadata and site.pointer not in unsound:
            waiting.append(_compensation(site))


def task_lists(site: TaskSite) -> Iterator[tuple[str, list[Json], frozenset[str] | None]]:
    """Yield the lists of tasks directly in a task: the pointer below it, the list, the
    variables."""
    body, kind = site.body, site.kind
    if kind == "do":
        yield "/do", body["do"], site.variables
    elif kind == "for":
        yield "/do", body["do"], site.also(*loop_variables(body["for"], "each"))
    elif kind == "fork":
        yield "/fork/branches", body["fork"]["branches"], site.variables
    elif kind == "try":
        yield "/try", body["try"], site.variables
        yield "/catch/do", body["catch"].get("do") or [], site.also(error_variable(body["catch"]))
    elif kind == "listen":
        yield from _iterated("/foreach", body.get("foreach"), site)
    elif kind == "call" and body["call"] == "asyncapi":
        subscription = body["with"].get("subscription") or {}
        yield from _iterated("/with/subscription/foreach", subscription.get("foreach"), site)


def loop_variables(loop: dict[str, Json], each: str) -> tuple[str, str]:
    """Return the names of a loop's item and index variables (dsl-reference.md, For)."""
    return loop.get(each, "item"), loop.get("at", "index")


def error_variable(catch: dict[str, Json]) -> str:
    """Return the name of the variable of a caught error (dsl-reference.md, Catch)."""
    name: str = catch.get("as", "error")
    return name


def _iterated(
    place: str, iterator: Json, site: TaskSite
) -> Iterator[tuple[str, list[Json], frozenset[str] | None]]:
    if iterator:
        variables = site.also(*loop_variables(iterator, "item"))
        yield place + "/do", iterator.get("do") or [], variables


def _outermost(document: dict[str, Json]) -> Iterator[TaskSite]:
    yield from _listed("/do", document["do"], frozenset(), Within.WORKFLOW)
    use = document.get("use") or {}
    for name, body in (use.get("functions") or {}).items():
        pointer = f"/use/functions/{escape(name)}"
        yield TaskSite(pointer, name, body, kind_of(body), {}, None, Within.FUNCTION)
    for index, item in enumerate(use.get("extensions") or ()):
        for name, extension in item.items():
            for key in ("before", "after"):
                pointer = f"/use/extensions/{index}/{escape(name)}/{key}"
                yield from _listed(pointer, extension.get(key) or [], None, Within.EXTENSION)


def _inside(site: TaskSite) -> Iterator[TaskSite]:
    for place, tasks, variables in task_lists(site):
        yield from _listed(site.pointer + place, tasks, variables, site.within)


def _compensation(site: TaskSite) -> TaskSite:
    body, pointer = site.metadata["compensate"], site.pointer + COMPENSATE
    variables, within = site.also("error"), Within.COMPENSATION
    return TaskSite(pointer, site.name, body, kind_of(body), {}, variables, within)


def _listed(
    pointer: str, tasks: list[Json], variables: frozenset[str] | None, within: Within
) -> Iterator[TaskSite]:
    alone = pointer.endswith("/fork/branches")
    siblings = {} if alone else Counter(name for item in tasks for name in item)
    for index, item in enumerate(tasks):
        for name, body in item.items():
            place = f"{pointer}/{index}/{escape(name)}"
            yield TaskSite(place, name, body, kind_of(body), siblings, variables, within)
