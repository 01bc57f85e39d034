"""`Client`: what the API offers, as methods."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from orchestrator.client.models import Deployed, Json, Run, Step
from orchestrator.client.operator_methods import Administration
from orchestrator.client.server_sent_events import ReconnectDelays, identified, server_sent_events
from orchestrator.client.transport import ApiError, Transport, Unreachable
from orchestrator.client.url_paths import path, workflow_path
from orchestrator.clock import monotonic
from orchestrator.ids import new_id
from orchestrator.settings import load_settings

#: The longest that the API lets one request wait, in seconds (REST contract).
_LONGEST_WAIT = 60.0
#: Between two looks whether a new run has begun, in seconds.
_LOOK_AGAIN = 0.1


class Client(Administration):
    """A connection to the API at `url`, shown `key`.

    Default: the settings ORCHESTRATOR_API_URL and ORCHESTRATOR_API_KEY. Every POST carries
    an Idempotency-Key and is repeated when its answer is lost. A client may be used as a
    context manager.
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

    # --- workflows

    def deploy(
        self, document: str | bytes | Path | Mapping[str, Any], dry_run: bool = False
    ) -> Deployed:
        """Deploy a document: YAML or JSON text, a path to it, or a dict. Again: no change.

        `dry_run` only validates. Raises `ApiError`: 422 with `errors`, 409 where this version
        has another body.
        """
        content: dict[str, Any]
        if isinstance(document, Mapping):
            content = {"json": document}
        else:
            text = document.read_bytes() if isinstance(document, Path) else document
            content = {"content": text, "headers": {"Content-Type": "application/yaml"}}
        params = {"dry_run": "true"} if dry_run else None
        response = self.transport.request("POST", "/v1/workflows", params=params, **content)
        data = self.transport.read(response)
        return Deployed(
            workflow=f"{data.get('namespace')}/{data.get('name')}",
            version=str(data.get("version")),
            new=response.status_code == 201,
            warnings=tuple(data.get("warnings") or ()),
            data=data,
        )

    def workflows(self, **filters: str) -> Iterator[dict[str, Any]]:
        """Deployed workflows by namespace and name, each with its newest version."""
        return self.pages("/v1/workflows", filters)

    def workflow(self, workflow: str, version: str | None = None) -> dict[str, Any]:
        """One workflow (``"shop/order"``), its newest version unless one is named. Raises
        `ApiError` 404."""
        found: dict[str, Any] = self._json("GET", workflow_path(workflow, version))
        return found

    def source(self, workflow: str, version: str | None = None) -> str | None:
        """A deployed document as it was sent, or None where there is none."""
        try:
            at, headers = workflow_path(workflow, version), {"Accept": "application/yaml"}
            return self.transport.request("GET", at, headers=headers).text
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def versions(self, workflow: str) -> Iterator[dict[str, Any]]:
        """Every version of a workflow, newest first. Raises `ApiError` 404."""
        return self.pages(f"{workflow_path(workflow)}/versions")

    def delete_workflow(self, workflow: str, version: str | None = None) -> None:
        """Remove a workflow with all its versions, or one of them.

        Raises `ApiError`: 404, 409 while instances of it run or can still be compensated.
        """
        self.transport.request("DELETE", workflow_path(workflow, version))

    # --- instances

    def start(
        self,
        workflow: str,
        input: Json = None,  # the API's own word
        *,
        version: str | None = None,
        business_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        wait: float | None = None,
    ) -> Run:
        """Start an instance of ``"namespace/name"``; with `wait`, see it end within that time.

        The run comes back as it stands when the time is over: look at `run.ended`.
        Raises `ApiError`: 404 unknown workflow, 409 business_id in use, 413, 422.
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
        keyed = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        response = self.transport.request("POST", "/v1/instances", json=body, headers=keyed)
        run = Run.from_json(self.transport.read(response))
        return run if wait is None else self.wait(run.id, wait)

    def get(self, id: str) -> Run:
        """An instance as it stands; raises `ApiError` 404."""
        return Run.from_json(self._json("GET", path("instances", id)))

    def wait(self, id: str, seconds: float, run: int = 1) -> Run:
        """An instance once it has settled (ended, undone where that was to be, and without a
        command that waits), or when time is over. `run`: not before that run has begun.
        """
        until = monotonic() + seconds
        while True:
            left = max(0.0, min(until - monotonic(), _LONGEST_WAIT))
            params = {"wait": _seconds(left)}
            data = self._json("GET", path("instances", id), params=params, wait=left)
            found = Run.from_json(data)
            begun = data.get("run", 1) >= run
            if (found.ended and begun) or monotonic() >= until:
                return found
            if not begun:
                time.sleep(_LOOK_AGAIN)  # the API waits for ends only, and this one has ended

    def instances(self, **filters: str) -> Iterator[Run]:
        """Instances, newest first; filters as the API names them (``status="faulted"``)."""
        return map(Run.from_json, self.pages("/v1/instances", filters))

    def steps(self, id: str) -> list[Step]:
        """The execution tree of an instance, in the order in which the steps were made."""
        return [Step.from_json(step) for step in self.pages(path("instances", id, "steps"))]

    def history(self, id: str) -> Iterator[dict[str, Any]]:
        """The transitions of an instance so far, in order: `{sequence, at, stimulus, facts}`."""
        return self.pages(path("instances", id, "history"))

    def watch(self, id: str, after: int = 0) -> Iterator[dict[str, Any]]:
        """The transitions after number `after`, each as it happens, until the instance ended.

        A connection that breaks is taken up again where it was.
        """
        pauses, at = ReconnectDelays(), path("instances", id, "history")
        while True:
            try:
                for entry in server_sent_events(self.transport, at, after):
                    pauses.arrived()
                    after = entry["sequence"]
                    yield entry
            except Unreachable:
                self.get(id)  # raises where the API has really gone
            if self.get(id).ended:
                break
            pauses.wait()
        yield from (entry for entry in self.history(id) if entry["sequence"] > after)

    def why(self, id: str) -> dict[str, Any]:
        """Why an instance stands still: `{status, compensation, causes: [{kind, message,
        ...}]}`, at least one cause. Raises `ApiError` 404."""
        found: dict[str, Any] = self._json("GET", path("instances", id, "why"))
        return found

    def why_event(self, id: str) -> dict[str, Any]:
        """What became of an event, or why it found nobody: `{id, namespace, causes: [{kind,
        message, ...}]}`, at least one cause. Raises `ApiError` 404."""
        found: dict[str, Any] = self._json("GET", path("events", id, "why"))
        return found

    def command(self, id: str, command: str, **arguments: Json) -> dict[str, Any]:
        """Ask an instance to suspend, resume, cancel, terminate, retry, compensate or skip.

        `arguments` are those of the API: reason, from, step, input, workflow_input, output. Returns
        the state after it: `{id, command, status, compensation, run, decided}`; `decided` is false
        where the command waits in the instance's inbox. Raises `ApiError` 409 where it does not
        fit.
        """
        body = {name: value for name, value in arguments.items() if value is not None}
        found: dict[str, Any] = self.transport.json(
            "POST", path("instances", id, command), json=body
        )
        return found

    def cancel(self, id: str, reason: str | None = None) -> None:
        """Stop an instance and undo what it completed."""
        self.command(id, "cancel", reason=reason)

    def terminate(self, id: str, reason: str | None = None) -> None:
        """Stop an instance and undo nothing."""
        self.command(id, "terminate", reason=reason)

    def suspend(self, id: str, reason: str | None = None) -> None:
        """Let an instance's running steps finish and start no more."""
        self.command(id, "suspend", reason=reason)

    def resume(self, id: str, reason: str | None = None) -> None:
        """Go on with a suspended instance."""
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
        """Try again what failed, as a new run; finished steps stay finished, in sub-workflows
        too. `step` goes back to an earlier one. `input` replaces that step's input (what it reads
        as `.` and `$input`), `workflow_input` the workflow's (`$workflow.input`)."""
        edited = {"input": input, "workflow_input": workflow_input}
        self.command(id, "retry", reason=reason, **edited, **{"from": step})

    def skip(self, id: str, step: int, output: Json = None, reason: str | None = None) -> None:
        """Let a step that stands still, or failed, end with an output of yours."""
        self.command(id, "skip", reason=reason, step=step, output=output)

    def compensate(self, id: str, *, step: int | None = None, reason: str | None = None) -> None:
        """Undo what an ended instance completed; with `step`, only back to that step."""
        self.command(id, "compensate", reason=reason, step=step)

    def dead_letters(self, **filters: str) -> Iterator[dict[str, Any]]:
        """Work that gave up: `{id, instance, step, reason, error, ...}`, newest first."""
        return self.pages("/v1/dead-letters", filters)

    def act_on_dead_letter(self, letter: str, action: str, reason: str | None = None) -> None:
        """Settle a dead letter: `action` is ``retry``, or ``resolve`` where a person has seen
        to it. Raises `ApiError` 409 where it is settled already."""
        body = {"reason": reason} if reason else {}
        self.transport.request("POST", path("dead-letters", letter, action), json=body)

    # --- events

    def signal(self, id: str, type: str, data: Json = None, source: str = "/client") -> str:
        """Send one instance an event of that type; it waits in its mailbox until a listener
        takes it. Returns the event's id. Raises `ApiError` 404, 409 where it has ended."""
        return self.send_event({"type": type, "source": source, "data": data}, to=id)

    def send_event(
        self, event: Mapping[str, Json], namespace: str | None = None, to: str | None = None
    ) -> str:
        """Send a CloudEvent: to a namespace, or into the mailbox of the instance `to`.

        `specversion` and `id` are made unless they are given. Sending it again has no effect.
        Returns the id that the API knows it by. Raises `ApiError` 400 where it is no
        CloudEvent, 409 where the instance has ended, 422 where the namespace is missing.
        """
        at = path("events") if to is None else path("instances", to, "events")
        whole = {"specversion": "1.0", "id": new_id(), **event}
        params = {"namespace": namespace} if namespace and to is None else None
        answer = self._json("POST", at, params=params, json=whole)
        return str(answer["id"])

    def events(self, **filters: str) -> Iterator[dict[str, Any]]:
        """CloudEvents as they are received and emitted, and lifecycle events, from now on;
        filters as the API names them (``type="com.shop.*"``). It never ends by itself.

        A connection that breaks is taken up again where it was.
        """
        at = "/v1/events/stream" + (f"?{urlencode(filters)}" if filters else "")
        last: str | None = None
        pauses = ReconnectDelays()
        while True:
            try:
                for id, found in identified(self.transport, at, last):
                    pauses.arrived()
                    last = id
                    yield found
            except Unreachable:
                self._json("GET", "/v1/events", params={"limit": 1})  # raises if it has gone
            pauses.wait()


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
