"""Answers of the API as frozen values. `data` is the original JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = Any

_ENDED = frozenset({"cancelled", "faulted", "completed"})


@dataclass(frozen=True)
class Run:
    """The state of an instance at the time of the request.

    `status` is one of the DSL's seven; `compensation` is none, running, completed or failed.
    `output` is set once it completed, `error` (`{type, status, title, detail, instance}`)
    once it faulted.
    """

    id: str
    workflow: str
    version: str
    status: str
    compensation: str = "none"
    output: Json = None
    error: Json = None
    input: Json = None
    business_id: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    pending_commands: int = 0
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def ended(self) -> bool:
        """Whether the instance is final: it has ended, its compensation does not run, and no
        command waits."""
        compensating = self.compensation == "running"
        return self.status in _ENDED and not compensating and not self.pending_commands

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Run:
        """Read an instance from the answer of ``GET /v1/instances/{id}``."""
        workflow = data["workflow"]
        return cls(
            id=data["id"],
            workflow=f"{workflow['namespace']}/{workflow['name']}",
            version=workflow["version"],
            status=data["status"],
            compensation=data.get("compensation", "none"),
            output=data.get("output"),
            error=data.get("error"),
            input=data.get("input"),
            business_id=data.get("business_id"),
            created_at=_time(data.get("created_at")),
            started_at=_time(data.get("started_at")),
            ended_at=_time(data.get("ended_at")),
            pending_commands=data.get("pending_commands", 0),
            data=data,
        )


@dataclass(frozen=True)
class Attempt:
    """One delivery of a step to a worker."""

    id: str
    number: int
    state: str
    worker: str | None = None
    error: Json = None
    flower_url: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Attempt:
        """Read an attempt from a step's JSON."""
        names = ("id", "number", "state", "worker", "error", "flower_url")
        values = {name: data.get(name) for name in names}
        return cls(**values, data=data)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Step:
    """One execution of a task within an instance.

    `parent` is the id of the step that contains it, 0 for the outermost; `compensates` the
    id of the step that it undoes, if any; `child` the id of the sub-workflow's instance that it
    started. `arguments` are those of its call, with masked secrets; `skipped` is
    ``{at, by, reason}`` if a person skipped it.
    """

    id: int
    parent: int
    reference: str
    name: str
    kind: str
    status: str
    output: Json = None
    error: Json = None
    attempts: tuple[Attempt, ...] = ()
    compensates: int | None = None
    child: str | None = None
    arguments: Json = None
    skipped: Json = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Step:
        """Read a step from the answer of ``GET /v1/instances/{id}/steps``."""
        return cls(
            id=data["id"],
            parent=data.get("parent") or 0,
            reference=data["reference"],
            name=data["name"],
            kind=data["kind"],
            status=data["status"],
            output=data.get("output"),
            error=data.get("error"),
            compensates=data.get("compensates"),
            child=data.get("child"),
            arguments=data.get("arguments"),
            skipped=data.get("skipped"),
            attempts=tuple(Attempt.from_json(attempt) for attempt in data.get("attempts") or ()),
            data=data,
        )


@dataclass(frozen=True)
class Deployed:
    """A deployed workflow version; `new` is False if it was deployed before."""

    workflow: str
    version: str
    new: bool
    warnings: tuple[Mapping[str, Any], ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Secret:
    """A secret without its value, which the API never returns."""

    namespace: str
    name: str
    created_at: datetime | None = None
    changed_at: datetime | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Secret:
        """Read a secret from the answer of ``GET /v1/secrets``."""
        times = (_time(data[name]) for name in ("created_at", "changed_at"))
        return cls(data["namespace"], data["name"], *times)


@dataclass(frozen=True)
class RotatedSecrets:
    """How many secrets were sealed anew; `unreadable` are ``(namespace, name)`` of those that
    none of the keys opens."""

    rotated: int
    unreadable: tuple[tuple[str, str], ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RotatedSecrets:
        """Read the answer of a rotation."""
        unreadable = tuple((of, name) for of, name in data["unreadable"])
        return cls(data["rotated"], unreadable, data)


@dataclass(frozen=True)
class Operation:
    """The state of a bulk operation at the time of the request.

    `state` is pending, running, completed, stopped or failed; `matches` how many it was to
    reach when it was asked for, `reached` how many it has reached.
    """

    id: str
    action: str
    state: str
    matches: int
    reached: int
    filter: Mapping[str, str] = field(default_factory=dict)
    by: str | None = None
    reason: str | None = None
    error: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def ended(self) -> bool:
        """Whether the operation has ended."""
        return self.state in ("completed", "stopped", "failed")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Operation:
        """Read an operation from the answer of ``GET /v1/operations/{id}``."""
        plain = ("id", "action", "state", "matches", "reached", "filter", "by", "reason", "error")
        times = ("created_at", "started_at", "ended_at")
        known = {name: data[name] for name in plain} | {name: _time(data[name]) for name in times}
        return cls(**known, data=data)


@dataclass(frozen=True)
class OperationPreview:
    """The matches of an operation that was not started: their number, and the first ones as
    JSON."""

    action: str
    count: int
    sample: tuple[Mapping[str, Any], ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> OperationPreview:
        """Read the answer of a dry run."""
        return cls(data["action"], data["matches"], tuple(data["sample"]), data=data)


def _time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None
