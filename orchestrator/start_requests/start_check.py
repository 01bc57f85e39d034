"""The checks of a request to start an instance: the workflow exists, its input schema accepts the
input, the input is not too large."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orchestrator import json_codec
from orchestrator.core.model import Json
from orchestrator.database.connection.session import Session
from orchestrator.database.instances import instance_queries
from orchestrator.database.instances.instance_queries import NewStart
from orchestrator.errors import OrchestratorError
from orchestrator.expressions import Evaluate
from orchestrator.settings import Settings, variable
from orchestrator.start_requests.workflow_versions import (
    CachedVersion,
    Catalog,
    Name,
    missing_message,
)
from orchestrator.timestamps import moment


class RefusalKind(StrEnum):
    """The reason of a refusal: the last part of the API's type of problem."""

    MALFORMED = "malformed-json"
    INVALID = "invalid-request"
    NOT_FOUND = "not-found"
    INVALID_INPUT = "invalid-input"
    TOO_LARGE = "too-large"
    BUSINESS_ID = "business-id-in-use"
    INTERNAL = "internal-error"


class RefusedStart(OrchestratorError):
    """A start was refused.

    `errors` are ``{pointer, message}`` each; a business id in use also has the `instance` that has
    it.
    """

    def __init__(
        self, kind: RefusalKind, message: str, errors: Sequence[dict[str, Any]] = ()
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.errors = list(errors)


@dataclass(frozen=True, slots=True)
class CheckedStart:
    """A valid start, the version that it runs and its JSON pointer in the request."""

    new: NewStart
    version: CachedVersion
    pointer: str
    name: Name


def name_of(request: dict[str, Any]) -> Name:
    """Return the workflow that a request names."""
    workflow = request["workflow"]
    version = workflow.get("version")
    return workflow["namespace"], workflow["name"], None if version == "latest" else version


@dataclass(frozen=True, slots=True)
class StartCheck:
    """Checks requests that fit the schema of a start. `allowed` tells whether the caller may see
    a namespace; `evaluate` validates what takes long in the sandbox."""

    session: Session
    versions: Catalog
    settings: Settings
    allowed: Callable[[str], bool]
    evaluate: Evaluate

    def check(
        self, request: dict[str, Any], id: str, pointer: str = "", heard_from: int | None = None
    ) -> CheckedStart:
        """Return the start of the instance `id`. Raises `RefusedStart`, and what `evaluate` raises
        except for an error of the workflow."""
        version, input = self._version(request, pointer), request.get("input")
        errors = version.errors(input, self.evaluate)
        if errors:
            placed = [error | {"pointer": f"{pointer}/input{error['pointer']}"} for error in errors]
            raise RefusedStart(RefusalKind.INVALID_INPUT, errors[0]["message"], placed)
        labels, due = request.get("labels"), request.get("start_at")
        new = NewStart(
            id=id,
            workflow_id=version.id,
            newest=name_of(request)[2] is None,
            input=None if input is None else self._bounded(input, pointer),
            business_id=request.get("business_id"),
            labels=json_codec.dumps(labels) if labels else None,
            start_at=_moment_at(f"{pointer}/start_at", due) if due else None,
            heard_from=heard_from,
        )
        return CheckedStart(new, version, pointer, name_of(request))

    def _version(self, request: dict[str, Any], pointer: str) -> CachedVersion:
        """Return the version to run; a foreign namespace has none."""
        name = name_of(request)
        allowed = self.allowed(name[0])
        version = self.versions.find(self.session, name) if allowed else None
        if version is None:
            parts = [part for part in name if part]
            message = missing_message(self.session, allowed, *parts)
            errors = [{"pointer": f"{pointer}/workflow", "message": message}]
            raise RefusedStart(RefusalKind.NOT_FOUND, message, errors)
        return version

    def _bounded(self, input: Json, pointer: str) -> str:
        text, bound = json_codec.encode(input), self.settings.max_payload
        if len(text) > bound:
            subject = f"the input{' at ' + pointer if pointer else ''}"
            raise RefusedStart(RefusalKind.TOO_LARGE, too_large_message(bound, subject))
        return text.decode()

    def conflict(self, starts: Sequence[CheckedStart]) -> RefusedStart:
        """Return the refusal of business ids that are in use, or repeated in the request."""
        named = [
            ((start.version.namespace, start.new.business_id), start.pointer)
            for start in starts
            if start.new.business_id is not None
        ]
        holders = instance_queries.instances_by_business_id(
            self.session, [name[0] for name, _ in named], [name[1] for name, _ in named]
        )
        counts = Counter(name for name, _ in named)
        errors: list[dict[str, Any]] = []
        for name, pointer in named:
            error = {"pointer": f"{pointer}/business_id"}
            if name in holders:
                message = f"the business_id {name[1]!r} is taken by the instance {holders[name]}; "
                error |= {"message": message + self._free_when(), "instance": holders[name]}
                errors.append(error)
            elif counts[name] > 1:
                errors.append(error | {"message": f"the business_id {name[1]!r} occurs twice"})
        detail = errors[0]["message"] if errors else "the business_id is taken"
        return RefusedStart(RefusalKind.BUSINESS_ID, detail, errors)

    def _free_when(self) -> str:
        """Return when a business id becomes free: when the row of its instance is archived."""
        settings, setting = self.settings, variable("instance_retention")
        if settings.instance_retention and settings.archive_dir:
            days = settings.instance_retention / 86400
            return f"it becomes free when that is archived, {days:g} days after its end ({setting})"
        return f"it stays taken after the end, for instances are kept: see {setting}"


def too_large_message(bound: int, subject: str, setting: str = "max_payload") -> str:
    """Return that a subject is larger than `bound` bytes, the value of `setting`."""
    by = f"; {variable(setting)} of the API bounds it" if setting else ""
    return f"{subject} is larger than {bound} bytes{by}"


def _moment_at(pointer: str, text: str) -> Any:
    try:
        return moment(text)
    except ValueError as error:
        errors = [{"pointer": pointer, "message": str(error)}]
        raise RefusedStart(RefusalKind.INVALID, str(error), errors) from None
