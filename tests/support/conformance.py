"""The product as the conformance tests see it: documents go in as texts, through the API."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.document import load
from tests.support.conformance_sites import CA, Sites
from tests.support.stack import Stack

ENDED = frozenset({"completed", "faulted", "cancelled"})


class Refused(Exception):
    """The API refuses a document or an input; `answer` has the reason."""

    def __init__(self, answer: Any) -> None:
        super().__init__(answer)
        self.answer = answer


@dataclass(frozen=True)
class Deployed:
    """A document that the API has accepted, and the identity that starts it."""

    namespace: str
    name: str
    version: str
    warnings: tuple[str, ...]

    @property
    def workflow(self) -> str:
        return f"{self.namespace}/{self.name}/{self.version}"


class Product:
    """A running stack and the sites that its documents call."""

    def __init__(self, stack: Stack, sites: Sites) -> None:
        self.stack = stack
        self.sites = sites
        self._watch = _Watch(stack)
        self._newest: dict[str, str] = {}

    def deploy(self, text: str) -> Deployed:
        """Deploy a document unchanged. Raise `Refused`.

        Some documents of the kit share one identity: the earlier one is removed when its instance
        has ended.
        """
        answer = self._post(text)
        if answer.status_code == 409:
            head = load(text).document["document"]
            self._remove(f"{head['namespace']}/{head['name']}", head["version"])
            answer = self._post(text)
        if answer.status_code not in (200, 201):
            raise Refused(answer.json())
        body = answer.json()
        warnings = tuple(each["message"] for each in body.get("warnings") or ())
        return Deployed(body["namespace"], body["name"], body["version"], warnings)

    def _post(self, text: str) -> Any:
        headers = {"Content-Type": "application/yaml"}
        return self.stack.client.post("/v1/workflows", content=text, headers=headers)

    def _remove(self, workflow: str, version: str) -> None:
        if (running := self._newest.get(f"{workflow}/{version}")) is not None:
            self.settle(running)
        answer = self.stack.client.delete(f"/v1/workflows/{workflow}/versions/{version}")
        assert answer.status_code == 204, answer.text

    def start(self, deployed: Deployed, input: Any = None) -> str:
        """Start an instance; returns its id. Raises `Refused` for an unfit input."""
        body = {
            "workflow": {
                "namespace": deployed.namespace,
                "name": deployed.name,
                "version": deployed.version,
            }
        }
        given = {} if input is None else {"input": input}
        answer = self.stack.client.post("/v1/instances", json={**body, **given})
        if answer.status_code == 422:
            raise Refused(answer.json())
        assert answer.status_code == 202, answer.text
        id = str(answer.json()["id"])
        self._newest[deployed.workflow] = id
        return id

    def instance(self, id: str) -> dict[str, Any]:
        """The instance as it is now."""
        answer = self.stack.client.get(f"/v1/instances/{id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def settle(
        self, id: str, statuses: frozenset[str] = ENDED, timeout: float = 60
    ) -> dict[str, Any]:
        """The instance once it has one of these statuses, or has ended."""
        assert self._watch.until(id, statuses | ENDED, timeout), (
            f"{self.instance(id)['status']}, not {set(statuses)}, after {timeout} s"
        )
        return self.instance(id)

    def command(self, id: str, command: str) -> None:
        """Suspend, resume, cancel ..."""
        answer = self.stack.client.post(f"/v1/instances/{id}/{command}", json={"reason": "asked"})
        assert answer.status_code == 202, answer.text

    def publish(self, namespace: str, event: dict[str, Any]) -> None:
        """Publish a CloudEvent."""
        answer = self.stack.client.post(
            f"/v1/events?namespace={namespace}",
            json=event,
            headers={"Content-Type": "application/cloudevents+json"},
        )
        assert answer.status_code == 202, answer.text

    def ended(self, deployed: Deployed, count: int) -> list[dict[str, Any]]:
        """The instances of a workflow that have ended, once there are so many."""
        query = {"workflow": deployed.workflow, "status": ",".join(ENDED), "sort": "created_at"}
        deadline = time.monotonic() + 30
        while True:
            items = list(self._pages("/v1/instances", **query))
            if len(items) >= count:
                return items
            assert time.monotonic() < deadline, f"{len(items)} of {deployed.workflow}"
            time.sleep(0.05)  # between two looks, never instead of one

    def pause(self, deployed: Deployed) -> None:
        """Pause the schedules of a workflow."""
        path = f"/v1/schedules?workflow={deployed.name}"
        for each in self.stack.client.get(path).json()["items"]:
            self.stack.client.patch(f"/v1/schedules/{each['id']}", json={"paused": True})

    def order(self, id: str) -> list[str]:
        """The names of the tasks in the order of their completion."""
        names = {each["id"]: each["name"] for each in self._pages(f"/v1/instances/{id}/steps")}
        return [
            names[fact["step"]]
            for change in self._pages(f"/v1/instances/{id}/history")
            for fact in change["facts"]
            if fact["type"] == "task.completed"
        ]

    def facts(self, id: str) -> list[dict[str, Any]]:
        """What happened, in order."""
        pages = self._pages(f"/v1/instances/{id}/history")
        return [fact for change in pages for fact in change["facts"]]

    def _pages(self, path: str, **filters: str) -> Iterator[dict[str, Any]]:
        query: dict[str, Any] = {"limit": 1000, **filters}
        while True:
            answer = self.stack.client.get(path, params=query)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            yield from page["items"]
            if page["next"] is None:
                return
            query["cursor"] = page["next"]


class _Watch:
    """Polls all instances at once for all waiting tests: one long poll per case would use up the
    API's threads."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._look = threading.Lock()
        self._seen: dict[str, str] = {}

    def until(self, id: str, statuses: frozenset[str], timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while self._seen.get(id) not in statuses:
            if time.monotonic() > deadline:
                return False
            with self._look:
                if self._seen.get(id) not in statuses:
                    self._refresh()
        return True

    def _refresh(self) -> None:
        answer = self._stack.client.get("/v1/instances", params={"limit": 1000})
        assert answer.status_code == 200, answer.text
        self._seen = {each["id"]: each["status"] for each in answer.json()["items"]}
        time.sleep(0.05)  # between two looks, never instead of one


@contextmanager
def product(
    request: pytest.FixtureRequest,
    folder: Path,
    *,
    resolve: tuple[str, ...] = (),
    secrets: dict[str, str] | None = None,
) -> Iterator[Product]:
    """One API, one worker of two processes, one beat, and the sites."""
    kept = folder / "secrets"
    kept.mkdir()
    for name, value in (secrets or {}).items():
        (kept / name).write_text(value)
    with (
        Sites() as sites,
        Stack(
            folder,
            request.getfixturevalue("module_database_url"),
            request.getfixturevalue("module_broker_url"),
            outbound_ca=CA,
            outbound_allow=",".join(("127.0.0.0/8", *sites.resolve, *resolve)),
            secrets_dir=kept,
            run_across_namespaces="true",  # one of the cases does
            shortest_interval="0.01",  # another asks for every 10 ms
            run_shell="*",
            run_script="*",
            run_isolation="none",  # at least; bubblewrap may be missing here
        ) as stack,
    ):
        stack.api()
        stack.worker(concurrency=2)
        stack.beat()
        yield Product(stack, sites)


def chosen(request: pytest.FixtureRequest, parameter: str) -> list[Any]:
    """What the tests of this module that will run are about, so that all can begin at once."""
    found = []
    for item in request.session.items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        if item.path == request.path and parameter in params:
            found.append(params[parameter])
    return found
