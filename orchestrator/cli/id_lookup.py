"""Which object a text on the command line names: ids may be shortened while that is unambiguous.

An instance is named by its id or the beginning of it, by its business_id, or by the id of one of
its attempts, which is what Celery, Flower and logs call the task's id.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from string import hexdigits

import click

from orchestrator.cli.exit_codes import Exit, Failure
from orchestrator.client import Client, Run

#: Candidates that are shown of an ambiguous name.
MOST = 10
#: The newest objects of a list among which a shortened id is looked for.
NEWEST = 1000

_SHAPE = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"


def find_instance(client: Client, text: str) -> str:
    """The id of the instance that a text names.

    Raises `Failure`: not found, or usage where several instances are meant, which are listed.
    """
    found = _instances(client, _given(text))
    if not found:
        raise Failure(
            f"there is no instance {text!r}: no id begins so, and it is neither a business_id"
            " nor the id of an attempt",
            Exit.NOT_FOUND,
        )
    if len(found) > 1:
        raise _ambiguous(text, [_described(run) for run in found.values()])
    return next(iter(found))


def find_id(client: Client, path: str, text: str, query: Mapping[str, str] | None = None) -> str:
    """The whole id of an object of the list at `path`; an id that is whole is not looked up.

    Raises `Failure`: not found, or usage where several are meant, which are listed.
    """
    if not is_beginning(_given(text)) or is_id(text):
        return text
    newest = islice(client.pages(path, query), NEWEST)
    found = [row for row in newest if row["id"].startswith(text.lower())]
    if not found:
        raise Failure(f"no id among the newest {NEWEST} begins with {text}", Exit.NOT_FOUND)
    if len(found) > 1:
        raise _ambiguous(text, [row["id"] for row in found])
    return str(found[0]["id"])


def step_number(client: Client, id: str, step: str) -> int:
    """The number of an instance's step that was named by it or by its task's name (the newest
    such). Raises `Failure`: not found."""
    if step.isascii() and step.isdecimal():
        return int(step[:10])
    found = [each for each in client.steps(id) if step in (each.name, each.reference)]
    if not found:
        raise Failure(f"{id} has no step {step!r}", Exit.NOT_FOUND)
    return found[-1].id


def is_id(text: str) -> bool:
    """Whether it is a whole id."""
    return len(text) == len(_SHAPE) and is_beginning(text)


def is_beginning(text: str) -> bool:
    """Whether ids of ours may begin so."""
    return len(text) <= len(_SHAPE) and all(
        given == "-" if shape == "-" else given in hexdigits
        for given, shape in zip(text, _SHAPE, strict=False)
    )


def _given(text: str) -> str:
    if not text:
        raise click.UsageError("an id is empty")
    return text


def _instances(client: Client, text: str) -> dict[str, Run]:
    """Those that a text may mean, by id. A whole id names one whatever else has that name."""
    if not is_beginning(text):
        return _listed(client, business_id=text)
    if len(text) < len(_SHAPE):
        return _listed(client, business_id=text) | _listed(client, id=text)
    return (
        _listed(client, id=text)
        or _listed(client, attempt=text)
        or _listed(client, business_id=text)
    )


def _listed(client: Client, **filters: str) -> dict[str, Run]:
    runs = client.instances(**filters, limit=str(MOST + 1))
    return {run.id: run for run in islice(runs, MOST + 1)}


def _described(run: Run) -> str:
    parts = (run.id, f"{run.workflow} {run.version}", run.status, run.business_id)
    return "  ".join(part for part in parts if part)


def _ambiguous(text: str, candidates: list[str]) -> Failure:
    lines = [f"  {each}" for each in candidates[:MOST]]
    more = ["  ..."] if len(candidates) > MOST else []
    heading = f"{text!r} may be any of:"
    return Failure("\n".join([heading, *lines, *more]), Exit.USAGE, "Write more of the id.")
