"""`Client`: the API as methods."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Self

from orchestrator.client.event_methods import EventMethods
from orchestrator.client.models import Json, Run, Step
from orchestrator.client.operator_methods import Administration
from orchestrator.client.server_sent_events import ReconnectDelays, server_sent_events
from orchestrator.client.transport import Transport, Unreachable
from orchestrator.client.url_paths import path
from orchestrator.client.workflow_methods import WorkflowMethods
from orchestrator.clock import monotonic
from orchestrator.settings import load_settings

#: Longest `wait` of one request that the API accepts, in seconds.
_LONGEST_WAIT = 60.0
#: Time between two requests while a new run has not started, in seconds.
_POLL_INTERVAL = 0.1


class Client(WorkflowMethods, EventMethods, Administration):
    """A connection to the API at `url`, with the API key `key`.

    Default: the settings ORCHESTRATOR_API_URL and ORCHESTRATOR_API_KEY. Every POST carries
    an Idempotency-Key, so that it can be repeated when its answer is lost. A client is also a
    context manager, which closes the connections.
    """

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        settings = load_settings()
        self.transport = Transport(url or settings.api_url, key or settings.api_key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    # --- instances

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
            if not started:
                time.sleep(_POLL_INTERVAL)  # the API only waits for ends, and the old run has ended

    def instances(self, **filters: str) -> Iterator[Run]:
        """Yield instances, newest first; filters as in the API (``status="faulted"``)."""
        return map(Run.from_json, self.pages("/v1/instances", filters))

    def steps(self, id: str) -> list[Step]:
        """Return the steps of an instance, in the order of their creation."""
        return [Step.from_json(step) for step in self.pages(path("instances", id, "steps"))]

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
            try:
                for entry in server_sent_events(self.transport, at, after):
                    pauses.arrived()
                    after = entry["sequence"]
                    yield entry
            except Unreachable:
                self.get(id)  # raises if the API is unreachable
            if self.get(id).ended:
                break
            pauses.wait()
        yield from (entry for entry in self.history(id) if entry["sequence"] > after)

    def why(self, id: str) -> dict[str, Any]:
        """Return why an instance makes no progress: `{status, compensation, causes: [{kind,
        message, ...}]}`, with at least one cause. Raises `ApiError` 404."""
        answer: dict[str, Any] = self._json("GET", path("instances", id, "why"))
        return answer

    def plan(self, id: str, command: str, **arguments: Json) -> dict[str, Any]:
        """Return what a command would do, and change nothing: `{keeps, runs, undoes, becomes,
        warnings}`. The arguments and errors are those of `command`."""
        body = {name: value for name, value in arguments.items() if value is not None}
        plan: dict[str, Any] = self.transport.json(
            "POST", path("instances", id, command) + "?dry_run=true", json=body
        )
        return plan

    def command(self, id: str, command: str, **arguments: Json) -> dict[str, Any]:
        """Send an instance a command: suspend, resume, cancel, terminate, retry, compensate or
        skip.

        `arguments` are those of the API: reason, from, step, input, workflow_input, output. Returns
        the state after it: `{id, command, status, compensation, run, decided}`; `decided` is false
        if the command still waits in the instance's inbox. Raises `ApiError` 409 if the state of
        the instance does not allow it.
        """
        body = {name: value for name, value in arguments.items() if value is not None}
        state: dict[str, Any] = self.transport.json(
            "POST", path("instances", id, command), json=body
        )
        return state

    def cancel(self, id: str, reason: str | None = None) -> None:
        """Stop an instance and undo its completed steps."""
        self.command(id, "cancel", reason=reason)

    def terminate(self, id: str, reason: str | None = None) -> None:
        """Stop an instance and undo nothing."""
        self.command(id, "terminate", reason=reason)

    def suspend(self, id: str, reason: str | None = None) -> None:
        """Let an instance's running steps finish, and start no new steps."""
        self.command(id, "suspend", reason=reason)

    def resume(self, id: str, reason: str | None = None) -> None:
        """Continue a suspended instance."""
        self.command(id, "resume", reason=reason)

    # --- repair

    def retry(
        self,
        id: str,
        *,
        step: int | None = None,
        input: Json = None,
        workflow_input: Json = None,
        reason: str | None = None,
    ) -> None:
        """Run the failed steps again, as a new run; completed steps are not repeated, also in
        sub-workflows. `step` starts again at that earlier step, `input` replaces its input (`.` and
        `$input`), `workflow_input` replaces the workflow's (`$workflow.input`)."""
        edited = {"input": input, "workflow_input": workflow_input}
        self.command(id, "retry", reason=reason, **edited, **{"from": step})

    def skip(self, id: str, step: int, output: Json = None, reason: str | None = None) -> None:
        """Complete a step that waits or failed with `output`, without running it."""
        self.command(id, "skip", reason=reason, step=step, output=output)

    def compensate(self, id: str, *, step: int | None = None, reason: str | None = None) -> None:
        """Undo the completed steps of an ended instance; with `step`, only those after that
        step."""
        self.command(id, "compensate", reason=reason, step=step)

    def dead_letters(self, **filters: str) -> Iterator[dict[str, Any]]:
        """Yield dead letters: `{id, instance, step, reason, error, ...}`, newest first."""
        return self.pages("/v1/dead-letters", filters)

    def act_on_dead_letter(self, dead_letter: str, action: str, reason: str | None = None) -> None:
        """Close a dead letter: `action` is ``retry``, or ``resolve`` if a person has solved the
        problem. Raises `ApiError` 409 if it is closed already."""
        body = {"reason": reason} if reason else {}
        self.transport.request("POST", path("dead-letters", dead_letter, action), json=body)


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
