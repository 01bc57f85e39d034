"""Find the object that a text on the command line names. Ids may be shortened if unambiguous.

An instance is named by its id or the beginning of it, by its business_id, or by the id of one of
its attempts, which Celery, Flower and logs call the task id.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from string import hexdigits

import click

from orchestrator.cli.exit_codes import Exit, Failure
from orchestrator.client import Client, Run

#: Largest number of candidates that the error about an ambiguous name lists.
MAX_CANDIDATES = 10
#: A shortened id is searched among this many of the newest objects of a list.
NEWEST = 1000

_SHAPE = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"


def find_instance(client: Client, text: str) -> str:
    """Return the id of the instance that a text names.

    Raises `Failure`: not found, or usage with a list of candidates where several match.
    """
    matches = _matching_instances(client, _not_empty(text))
    if not matches:
        raise Failure(
            f"there is no instance {text!r}: no id begins with it, and it is neither a business_id"
            " nor the id of an attempt",
            Exit.NOT_FOUND,
        )
    if len(matches) > 1:
        raise _ambiguous(text, [_description(run) for run in matches.values()])
    return next(iter(matches))


def find_id(client: Client, path: str, text: str, query: Mapping[str, str] | None = None) -> str:
    """Return the full id of an object of the list at `path`; a full id is returned without a
    request.

    Raises `Failure`: not found, or usage with a list of candidates where several match.
    """
    if not is_beginning(_not_empty(text)) or is_id(text):
        return text
    newest = islice(client.pages(path, query), NEWEST)
    matches = [row for row in newest if row["id"].startswith(text.lower())]
    if not matches:
        raise Failure(f"no id among the newest {NEWEST} begins with {text}", Exit.NOT_FOUND)
    if len(matches) > 1:
        raise _ambiguous(text, [row["id"] for row in matches])
    return str(matches[0]["id"])


def step_number(client: Client, id: str, step: str) -> int:
    """Return the number of an instance's step. `step` is that number, or the name or reference of
    its task: then the newest step of the task is meant. Raises `Failure`: not found."""
    if step.isascii() and step.isdecimal():
        return int(step[:10])
    matches = [each for each in client.steps(id) if step in (each.name, each.reference)]
    if not matches:
        raise Failure(f"{id} has no step {step!r}", Exit.NOT_FOUND)
    return matches[-1].id


def is_id(text: str) -> bool:
    """Whether a text is a full id."""
    return len(text) == len(_SHAPE) and is_beginning(text)


def is_beginning(text: str) -> bool:
    """Whether an id can begin with a text."""
    return len(text) <= len(_SHAPE) and all(
        character == "-" if shape == "-" else character in hexdigits
        for character, shape in zip(text, _SHAPE, strict=False)
    )


def _not_empty(text: str) -> str:
    if not text:
        raise click.UsageError("an id is empty")
    return text


def _matching_instances(client: Client, text: str) -> dict[str, Run]:
    """Return the instances that a text may mean, by id. For a full id, other names are only tried
    if no instance has it."""
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
    runs = client.instances(**filters, limit=str(MAX_CANDIDATES + 1))
    return {run.id: run for run in islice(runs, MAX_CANDIDATES + 1)}


def _description(run: Run) -> str:
    parts = (run.id, f"{run.workflow} {run.version}", run.status, run.business_id)
    return "  ".join(part for part in parts if part)


def _ambiguous(text: str, candidates: list[str]) -> Failure:
    lines = [f"  {each}" for each in candidates[:MAX_CANDIDATES]]
    more = ["  ..."] if len(candidates) > MAX_CANDIDATES else []
    heading = f"{text!r} can be any of:"
    return Failure("\n".join([heading, *lines, *more]), Exit.USAGE, "Write more of the id.")
