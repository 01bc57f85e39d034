"""A worker and control workers by hand, one thing at a time, beside the API in this process."""

from __future__ import annotations

from typing import Any

from orchestrator.core.model import AttemptEnd, AttemptState
from orchestrator.database.workers import worker_queries
from orchestrator.database.workers.worker_queries import WorkerRow
from orchestrator.ids import new_id
from orchestrator.state_manager import LeaseOwner
from tests.support.api import Api, document

Body = dict[str, Any]


def call(name: str, **metadata: Any) -> Body:
    """A step that can be undone by ``undo-NAME``."""
    undo = {"call": f"undo-{name}", "metadata": {"retry": {"limit": {"attempt": {"count": 0}}}}}
    return {name: {"call": name, "metadata": {"compensate": undo, **metadata}}}


SAGA = [call("a"), call("b"), {"c": {"call": "c"}}]


class Outside:
    """A worker, and control workers, one thing at a time."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.state = api.client.application.extensions["orchestrator"].services.state
        row = WorkerRow(new_id(), "w", 7, "prefork", 1, ("celery",), ("a",))
        worker_queries.register(api.database, row)
        self.holder = LeaseOwner(row.id, 7)

    def start(self, do: list[Body], name: str = "order", **more: Any) -> str:
        self.api.deploy(document(name, do=do))
        id = self.api.start(name, **more)
        self.state.process_inbox(id)
        return id

    def claim(self, id: str) -> Any:
        """The next attempt of an instance, in hand; None where none is ready."""
        ready = self.api.all(
            "select id::text, task from orchestrator.attempts where instance_id = %s"
            " and state = 'ready' order by id limit 1",
            id,
        )
        return (
            self.state.claim_attempt(ready[0][0], id, ready[0][1], self.holder) if ready else None
        )

    def finish(self, work: Any, error: Any = None, **more: Any) -> None:
        """Its end: its output is its task's name, unless it has an error."""
        how = AttemptState.SUCCEEDED if error is None else AttemptState.FAILED
        output = {"by": work.attempt.task} if error is None else None
        self.state.commit_result(work, AttemptEnd(work.attempt.id, how, output, error, **more))

    def work(self, id: str, *failing: str) -> list[str]:
        """Carry out all that can be done; the tasks that were asked for."""
        asked: list[str] = []
        self.state.process_inbox(id)
        while (work := self.claim(id)) is not None:
            task = work.attempt.task
            asked.append(task)
            error = {"type": "https://shop.example/no", "status": 500}
            self.finish(work, error if task in failing else None)
            self.state.process_inbox(id)
        return asked

    def lose(self, id: str, *answered: str) -> list[str]:
        """The same, but every worker dies, save with calls that are `answered`."""
        asked: list[str] = []
        self.state.process_inbox(id)
        while (work := self.claim(id)) is not None:
            asked.append(work.attempt.task)
            if work.attempt.task in answered:
                self.finish(work)
            else:
                self.state.report_lost_process(
                    self.holder, {"type": "lost", "status": 500, "detail": "it died"}
                )
            self.state.process_inbox(id)
        return asked

    def command(self, id: str, name: str, **body: Any) -> Any:
        """Ask for it through REST, and have it done."""
        answer = self.api.post(f"/v1/instances/{id}/{name}", json=body)
        assert answer.status_code == 202, answer.text
        self.state.process_inbox(id)
        return self.instance(id)

    def instance(self, id: str) -> Any:
        return self.api.get(f"/v1/instances/{id}").json

    def step(self, id: str, name: str) -> Any:
        """The newest step of this name."""
        items = self.api.get(f"/v1/instances/{id}/steps").json["items"]
        return [each for each in items if each["reference"].endswith(f"/{name}")][-1]

    def told(self, id: str, type: str) -> list[Any]:
        """What the history says of a kind of fact."""
        rows = self.api.get(f"/v1/instances/{id}/history").json["items"]
        return [fact["data"] for row in rows for fact in row["facts"] if fact["type"] == type]

    def audited(self, target: str) -> list[Any]:
        items = self.api.get(f"/v1/audit?target={target}").json["items"]
        return [(each["actor"], each["action"], each["reason"], each["details"]) for each in items]
