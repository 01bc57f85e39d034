"""Methods for instances."""

# Written from asynchronous/instance_methods.py by: python -m tests.support.client_twin

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from orchestrator.client.errors import Unreachable
from orchestrator.client.models import Json, Run, Step
from orchestrator.client.server_sent_events import ReconnectDelays
from orchestrator.client.synchronous.resource_base import Resources
from orchestrator.client.url_paths import path
from orchestrator.clock import monotonic

#: Longest `wait` of one request that the API accepts, in seconds.
_LONGEST_WAIT = 60.0
#: Time between two requests while a new run has not started, in seconds.
_POLL_INTERVAL = 0.1


class InstanceMethods(Resources):
    """The methods of the client for instances."""

    def start(
        self,
        workflow: str,
        input: Json = None,  # the name that the API uses
        *,
        version: str | None = None,
        business_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        wait: float | None = None,
    ) -> Run:
        """Start an instance of ``"namespace/name"``; with `wait`, wait so many seconds for its end.

        Returns its state at the start, or at the end of the wait: `run.ended` says whether it
        has ended. Raises `ApiError`: 404 unknown workflow, 409 business_id in use, 413, 422.
        """
        namespace, _, name = workflow.rpartition("/")
        body: dict[str, Any] = {
            "workflow": {"namespace": namespace or "default", "name": name},
            "input": input,
        }
        if version is not None:
            body["workflow"]["version"] = version
        if business_id is not None:
            body["business_id"] = business_id
        if labels:
            body["labels"] = dict(labels)
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        response = self.transport.request("POST", "/v1/instances", json=body, headers=headers)
        run = Run.from_json(self.transport.read(response))
        return run if wait is None else self.wait(run.id, wait)

    def get(self, id: str) -> Run:
        """Return the current state of an instance; raises `ApiError` 404."""
        return Run.from_json(self._json("GET", path("instances", id)))

    def wait(self, id: str, seconds: float, run: int = 1) -> Run:
        """Wait at most `seconds` until an instance is final: it has ended, its compensation does
        not run, and no command waits. Returns its state. `run`: also wait for the start of that
        run.
        """
        deadline = monotonic() + seconds
        while True:
            remaining = max(0.0, min(deadline - monotonic(), _LONGEST_WAIT))
            params = {"wait": _seconds(remaining)}
            data = self._json("GET", path("instances", id), params=params, wait=remaining)
            state = Run.from_json(data)
            started = data.get("run", 1) >= run
            if (state.ended and started) or monotonic() >= deadline:
                return state
            if not started:  # the API only waits for ends, and the old run has ended
                time.sleep(_POLL_INTERVAL)

    def instances(self, **filters: str) -> Iterator[Run]:
        """Yield instances, newest first; filters as in the API (``status="faulted"``)."""
        for instance in self.pages("/v1/instances", filters):
            yield Run.from_json(instance)

    def steps(self, id: str) -> list[Step]:
        """Return the steps of an instance, in the order of their creation."""
        steps = self.pages(path("instances", id, "steps"))
        return [Step.from_json(step) for step in steps]

    def history(self, id: str) -> Iterator[dict[str, Any]]:
        """Yield the transitions of an instance so far, in order: `{sequence, at, stimulus,
        facts}`."""
        return self.pages(path("instances", id, "history"))

    def watch(self, id: str, after: int = 0) -> Iterator[dict[str, Any]]:
        """Yield the transitions after number `after` as they happen, until the instance has ended.

        A broken connection is opened again, and continues after the last transition.
        """
        pauses, at = ReconnectDelays(), path("instances", id, "history")
        while True:
            last = str(after) if after else None
            try:
                with closing(self.server_sent_events(at, after=last)) as entries:
                    for _, entry in entries:
                        pauses.arrived()
                        after = entry["sequence"]
                        yield entry
            except Unreachable:
                self.get(id)  # raises if the API is unreachable
            if (self.get(id)).ended:
                break
            time.sleep(pauses.next())
        for entry in self.history(id):
            if entry["sequence"] > after:
                yield entry

    def why(self, id: str) -> dict[str, Any]:
        """Return why an instance makes no progress: `{status, compensation, causes: [{kind,
        message, ...}]}`, with at least one cause. Raises `ApiError` 404."""
        answer: dict[str, Any] = self._json("GET", path("instances", id, "why"))
        return answer


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
