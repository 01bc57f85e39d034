"""Durable canvases under `task_always_eager`: in this process, at once, without an API.

`orchestrator.canvas` asks for `client_of(app)` where the app is eager. Delays pass by the virtual
clock. An instance is known to the process that has started it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakKeyDictionary

from orchestrator.client import ApiError, Client
from orchestrator.client import Run as RunState
from orchestrator.client.models import Deployed, Step
from orchestrator.client.synchronous.transport import Transport
from orchestrator.clock import now
from orchestrator.document.model import Workflow
from orchestrator.errors import ConfigurationError
from orchestrator.testing.document_files import workflow_of
from orchestrator.testing.errors import CommandRefused
from orchestrator.testing.run import Run
from orchestrator.testing.steps import Steps, StepView
from orchestrator.testing.workflows import Workflows

if TYPE_CHECKING:
    from celery import Celery

#: Ended instances that are kept for their results.
KEPT = 1000
#: Distance between the numbers of two starts, for the sub-workflows in between.
_APART = 100_000

_clients: WeakKeyDictionary[Celery, EagerClient] = WeakKeyDictionary()


def client_of(app: Celery) -> Client:
    """Return the client that runs an app's canvases in this process."""
    # Replace Celery's proxy of the current app by the app itself: the clients are stored by app.
    app = getattr(app, "_get_current_object", lambda: app)()
    if app not in _clients:
        _clients[app] = EagerClient(app)
    return _clients[app]


class _NoServer(Transport):
    """The transport of a client without an API."""

    def __init__(self) -> None:
        self.url = f"eager:{id(self)}"

    def request(self, method: str, path: str, **_: Any) -> NoReturn:
        """Refuse what the API would have to do."""
        raise ConfigurationError(
            f"task_always_eager is set, so that there is no API for {method} {path}"
        )

    def close(self) -> None:
        """Close nothing."""


class EagerClient(Client):
    """The part of `Client` that durable canvases use, on `Workflows`."""

    def __init__(self, app: Celery) -> None:
        self.transport = _NoServer()
        self._app = app
        self._workflows: dict[str, Workflow] = {}
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._by_key: dict[str, str] = {}
        self._business_ids: dict[str, str] = {}
        self._started = 0

    def deploy(self, document: Any, dry_run: bool = False) -> Deployed:
        """Keep a document for its starts."""
        workflow = workflow_of(document, ())
        name = f"{workflow.namespace}/{workflow.name}"
        new = name not in self._workflows
        if not dry_run:
            self._workflows[name] = workflow
        return Deployed(name, workflow.version, new)

    def start(
        self,
        workflow: str,
        input: Any = None,
        *,
        business_id: str | None = None,
        idempotency_key: str | None = None,
        **_: Any,
    ) -> RunState:
        """Run an instance to its end, or until it waits for what time does not bring."""
        if idempotency_key in self._by_key:
            return self.get(self._by_key[idempotency_key or ""])
        if workflow not in self._workflows:
            raise ApiError(404, {"detail": f"there is no workflow {workflow}"})
        if business_id is not None and business_id in self._business_ids:
            raise ApiError(409, {"detail": f"the business_id {business_id!r} is in use"})
        run = self._run(self._workflows[workflow], input, business_id)
        self._runs[run.id] = run
        if idempotency_key is not None:
            self._by_key[idempotency_key] = run.id
        if business_id is not None:
            self._business_ids[business_id] = run.id
        while len(self._runs) > KEPT:
            self._forget(self._runs.popitem(last=False)[0])
        return self.get(run.id)

    def _forget(self, id: str) -> None:
        """Release the key and the business id of a run that is kept no longer."""
        for kept in (self._by_key, self._business_ids):
            for name in [name for name, run in kept.items() if run == id]:
                del kept[name]

    def _run(self, workflow: Workflow, input: Any, business_id: str | None) -> Run:
        # Make an engine for each start, because a task may start a canvas while it runs itself.
        workflows = Workflows(self._app, now=now())
        self._started += _APART
        workflows.driver.engine.made = self._started
        return workflows.run(workflow, input, business_id=business_id)

    def get(self, id: str) -> RunState:
        """Return the state of an instance."""
        run = self._known(id)
        namespace, name, version = run.workflow.split("/")
        return RunState(
            id=id,
            workflow=f"{namespace}/{name}",
            version=version,
            status=run.status,
            compensation=run.compensation,
            output=run.output,
            error=run.error,
        )

    def _known(self, id: str) -> Run:
        if id not in self._runs:
            raise ApiError(404, {"detail": f"this process has not started the instance {id}"})
        return self._runs[id]

    def wait(self, id: str, seconds: float, run: int = 1) -> RunState:
        """Return the state of an instance: it goes no further by itself."""
        del seconds, run
        return self.get(id)

    def steps(self, id: str) -> list[Step]:
        """Return the steps of an instance, in the order of their creation."""
        rows = self._known(id).rows
        views = Steps(rows).all()
        return [_step(view, *pair) for view, pair in zip(views, _numbers(rows), strict=True)]

    def cancel(self, id: str, reason: str | None = None) -> None:
        """Cancel an instance."""
        try:
            self._known(id).cancel(reason)
        except CommandRefused as refused:
            raise ApiError(409, {"detail": str(refused)}) from refused


def _numbers(rows: Any) -> list[tuple[int, int]]:
    return [(number, step.parent) for number, step in sorted(rows.steps.items())]


def _step(view: StepView, number: int, parent: int) -> Step:
    data: Mapping[str, Any] = {
        "id": number,
        "parent": parent,
        "reference": view.reference,
        "name": view.name,
        "kind": view.kind,
        "status": view.status,
        "index": view.index,
        "output": view.output,
        "error": view.error,
    }
    return Step.from_json(data)
