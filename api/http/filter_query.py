"""Which instances: one grammar for the query of a list and for the filter of an operation.

Besides the parameters that `InstancesFilterSchema` names there are ``label.key=value`` and
``input.path=value``, where a path is member names with dots between them, and ``name[]`` steps
into an array: ``input.items[].sku=b-7``. A value matches the text that it is and, where it is a
number, ``true``, ``false`` or ``null``, that as well; in double quotes it is text only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator import json_codec
from orchestrator.database.instances.instance_filters import Filter

LABEL, INPUT = "label.", "input."
#: Filters on the input that one question may have, and how deep their paths may go.
MOST, DEEPEST = 8, 8

_PART = re.compile(r'([^.\[\]"\\\x00]{1,100})(\[\])?')


class WrongFilter(Exception):
    """A filter with a name of the client's own that can't be understood: `name`, and why."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class DynamicFilters:
    """The filters whose names are the client's own. `inputs` are alternatives of JSON text
    each; the input must contain one of each."""

    labels: Mapping[str, str]
    inputs: tuple[tuple[str, ...], ...]


def split(given: Mapping[str, str]) -> tuple[dict[str, str], DynamicFilters]:
    """What has a name of ours, and what has one of the client's. Raises `WrongFilter`."""
    ours, labels, inputs = {}, {}, []
    for name, value in given.items():
        if name.startswith(LABEL):
            labels[name.removeprefix(LABEL)] = value
        elif name.startswith(INPUT):
            inputs.append(_contained(name, value))
        else:
            ours[name] = value
    if len(inputs) > MOST:
        raise WrongFilter(INPUT, f"at most {MOST} filters on the input are taken")
    return ours, DynamicFilters(labels, tuple(inputs))


def _contained(name: str, value: str) -> tuple[str, ...]:
    """The JSON texts one of which the input must contain."""
    parts = name.removeprefix(INPUT).split(".")
    matches = [_PART.fullmatch(part) for part in parts]
    if len(parts) > DEEPEST or not all(matches):
        raise WrongFilter(name, f"is a path such as input.items[].sku, at most {DEEPEST} deep")
    found = _alternatives(value)
    for match in reversed(matches):
        assert match is not None  # noqa: S101  for the type checker: see above
        found = [{match[1]: [each] if match[2] else each} for each in found]
    return tuple(json_codec.dumps(each) for each in found)


def _alternatives(text: str) -> list[Any]:
    try:
        parsed = json_codec.loads(text)
    except (json_codec.NotJson, ValueError):
        return [text]
    if isinstance(parsed, str):
        return [parsed]
    return [text] if isinstance(parsed, dict | list) else [text, parsed]


def chosen(query: Mapping[str, Any], own: DynamicFilters) -> Filter:
    """The filter that checked parameters ask for."""
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
        labels=own.labels,
        inputs=own.inputs,
        started_after=query.get("started_after"),
        started_before=query.get("started_before"),
        text=query.get("q"),
    )


def _workflow(parts: list[str]) -> tuple[str | None, str, str | None]:
    """``name``, ``namespace/name`` or ``namespace/name/version``."""
    if len(parts) == 1:
        return None, parts[0], None
    return parts[0], parts[1], parts[2] if len(parts) == 3 else None
