"""Filters of instances: one grammar for the query of a list and the filter of an operation.

Besides the parameters of `InstancesFilterSchema` there are ``label.key=value`` and
``input.path=value``. A path is member names joined by dots; ``name[]`` means any item of an
array: ``input.items[].sku=b-7``. A value matches text and, if it is a number, ``true``, ``false``
or ``null``, also that JSON value. In double quotes it matches text only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator import json_codec
from orchestrator.database.instances.attention_filters import ATTENTION
from orchestrator.database.instances.instance_filters import Filter

LABEL, INPUT = "label.", "input."
#: Most filters on the input in one request, and most member names in a path.
MAX_INPUTS, MAX_DEPTH = 8, 8

_PART = re.compile(r'([^.\[\]"\\\x00]{1,100})(\[\])?')


class WrongFilter(Exception):
    """A label or input filter cannot be read. `name` is its parameter, the message the reason."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class DynamicFilters:
    """The filters by label and by input. The input must contain, for each item of `inputs`,
    one of its JSON texts."""

    labels: Mapping[str, str]
    inputs: tuple[tuple[str, ...], ...]


def split(parameters: Mapping[str, str]) -> tuple[dict[str, str], DynamicFilters]:
    """Separate the parameters of the schema from label and input filters. Raises `WrongFilter`."""
    of_schema, labels, inputs = {}, {}, []
    for name, value in parameters.items():
        if name.startswith(LABEL):
            labels[name.removeprefix(LABEL)] = value
        elif name.startswith(INPUT):
            inputs.append(_contained(name, value))
        else:
            of_schema[name] = value
    if len(inputs) > MAX_INPUTS:
        raise WrongFilter(INPUT, f"at most {MAX_INPUTS} filters on the input are allowed")
    return of_schema, DynamicFilters(labels, tuple(inputs))


def _contained(name: str, value: str) -> tuple[str, ...]:
    """Return the JSON texts of which the input must contain one."""
    parts = name.removeprefix(INPUT).split(".")
    matches = [_PART.fullmatch(part) for part in parts]
    if len(parts) > MAX_DEPTH or not all(matches):
        raise WrongFilter(name, f"is a path such as input.items[].sku, at most {MAX_DEPTH} deep")
    contained = _alternatives(value)
    for match in reversed(matches):
        assert match is not None  # noqa: S101  for the type checker: see above
        contained = [{match[1]: [inner] if match[2] else inner} for inner in contained]
    return tuple(json_codec.dumps(alternative) for alternative in contained)


def _alternatives(text: str) -> list[Any]:
    try:
        parsed = json_codec.loads(text)
    except (json_codec.NotJson, ValueError):
        return [text]
    if isinstance(parsed, str):
        return [parsed]
    return [text] if isinstance(parsed, dict | list) else [text, parsed]


def selection(query: Mapping[str, Any], dynamic: DynamicFilters, lease: float) -> Filter:
    """Return the filter of checked parameters. `lease`: the setting, in seconds."""
    parts = query["workflow"].split("/") if "workflow" in query else None
    return Filter(
        statuses=query["status"],
        compensations=query["compensation"],
        namespace=query.get("namespace"),
        workflow=_workflow(parts) if parts else None,
        business_id=query.get("business_id"),
        id=query.get("id"),
        attempt=query.get("attempt"),
        parent=query.get("parent"),
        labels=dynamic.labels,
        inputs=dynamic.inputs,
        started_after=query.get("started_after"),
        started_before=query.get("started_before"),
        text=query.get("q"),
        attention=tuple(ATTENTION) if "any" in query["attention"] else query["attention"],
        waiting_for=query["waiting_for"],
        error_types=query["error_types"],
        lease=lease,
    )


def _workflow(parts: list[str]) -> tuple[str | None, str, str | None]:
    """Read ``name``, ``namespace/name`` or ``namespace/name/version``."""
    if len(parts) == 1:
        return None, parts[0], None
    return parts[0], parts[1], parts[2] if len(parts) == 3 else None
