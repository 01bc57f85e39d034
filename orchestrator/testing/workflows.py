"""`Workflows`: deploys documents and runs their instances in memory.

    workflows = Workflows(app=app)
    run = workflows.run("order.yaml", {"id": 1}, tasks={"shop.charge": raises(CardDeclined)})
    assert run.status == "faulted"
    assert run.compensated == ["reserve"]

Theory of operation. The product's own core decides every transition, on rows in memory
(`instance_store`); nothing else of it is replaced by something similar: documents are checked as at
their deployment, expressions, event filters, schedules and the layer around a task's body are the
same code. One thing happens at a time. The clock stands still while tasks run and moves by
`advance`, or by `run`, to the next timer; `time` itself is never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from orchestrator.core import Bounds
from orchestrator.core.model import Json
from orchestrator.document.model import Workflow
from orchestrator.testing.coverage import WorkflowCoverage
from orchestrator.testing.crash_everywhere import Played, crash_everywhere
from orchestrator.testing.crash_points import Crashes
from orchestrator.testing.crash_report import CrashReport
from orchestrator.testing.document_files import Document, is_file_name, workflow_of
from orchestrator.testing.driver import Driver
from orchestrator.testing.effects import Ledger, record_request
from orchestrator.testing.engine import Engine
from orchestrator.testing.errors import UnknownWorkflow, did_you_mean
from orchestrator.testing.http_stubs import HttpRequest, HttpStubs
from orchestrator.testing.in_process_worker import Worker
from orchestrator.testing.instance_store import EPOCH
from orchestrator.testing.run import Run
from orchestrator.testing.schedules import Schedules
from orchestrator.testing.stubs import Stub, fresh
from orchestrator.testing.unknown_tasks import check_stubs

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.canvas.document import Converted


#: Loaders whose apps have their tasks.
_loaded: WeakSet[Any] = WeakSet()


def _with_tasks(app: Celery) -> Celery:
    """Return an app, which `celery.current_app` may stand for, with its task modules imported as at
    a worker's start."""
    app = getattr(app, "_get_current_object", lambda: app)()
    if app.loader not in _loaded:
        _loaded.add(app.loader)
        app.loader.import_default_modules()
    return app


class Workflows:
    """Workflows and their instances in memory, for one test.

    `app`: the Celery app whose tasks run where no stub stands in for them; it gets `install(app)`.
    `tasks` and `http`: stubs for every run (`orchestrator.testing.stubs`, `http_stubs`). `secrets`:
    by their names. `folders`: where relative paths of documents begin. `now`: the time at which the
    virtual clock starts. `limits`: the engine's bounds. `coverage`: counts which tasks and branches
    have run.
    """

    #: pytest collects classes by their name.
    __test__ = False

    def __init__(
        self,
        app: Celery | None = None,
        *,
        tasks: Mapping[str, Stub] | None = None,
        http: Mapping[str, Stub] | None = None,
        secrets: Mapping[str, Json] | None = None,
        folders: Iterable[Path | str] = (".",),
        now: datetime = EPOCH,
        limits: Bounds | None = None,
        coverage: WorkflowCoverage | None = None,
    ) -> None:
        self.app = app = None if app is None else _with_tasks(app)
        self.folders = [Path(folder) for folder in folders]
        self._tasks = dict(tasks or {})
        self._http = dict(http or {})
        self._secrets = dict(secrets or {})
        self._start_time = now
        self._limits = limits
        self._coverage = coverage
        engine = Engine(self._secrets, limits, now, coverage)
        worker = Worker(engine, app, self._tasks, self._http_stubs(self._http), self._converted)
        self._schedules = Schedules(engine)
        #: Lets things happen; for tools.
        self.driver = Driver(engine, worker, self._schedules)

    # -- documents -----------------------------------------------------------------------------

    def add(self, *documents: Document) -> str:
        """Add documents that others run, or that are started by name; return the last one's name.

        Raises:
            DocumentError: one is invalid; the text has file, line and reason.
        """
        id = ""
        for document in documents:
            id = self.driver.engine.deploy_workflow(workflow_of(document, self.folders))
        return id.rpartition("/")[0]

    def deploy(self, *documents: Document) -> str:
        """Add documents and activate their schedules, as their deployment does."""
        name = ""
        for document in documents:
            name = self.add(document)
            id = self._id_of(name)
            self._schedules.activate(self.driver.engine.workflows[id], id)
        return name

    def _converted(self, converted: Converted) -> str:
        return self.driver.engine.deploy_workflow(workflow_of(converted.document, ()))

    def _id_of(self, document: Document) -> str:
        """Return the id of a document; one that is not deployed yet is."""
        known = self.driver.engine.workflows
        if isinstance(document, str) and "\n" not in document and not is_file_name(document):
            found = [id for id in known if id == document or id.startswith(f"{document}/")]
            if not found:
                names = [id.rpartition("/")[0] for id in known]
                raise UnknownWorkflow(
                    f"no workflow {document!r} was added{did_you_mean(document, names) or '.'}"
                    f" Added are: {', '.join(names) or 'none'}"
                )
            return found[-1]
        return self.driver.engine.deploy_workflow(workflow_of(document, self.folders))

    def workflow(self, name: str) -> Workflow:
        """Return a workflow that was added, as the engine sees it."""
        return self.driver.engine.workflows[self._id_of(name)]

    # -- instances -----------------------------------------------------------------------------

    def run(
        self,
        document: Document,
        input: Json = None,
        *,
        tasks: Mapping[str, Stub] | None = None,
        http: Mapping[str, Stub] | None = None,
        seed: int | None = None,
        business_id: str | None = None,
    ) -> Run:
        """Start an instance and let time pass until it has ended, or waits for what time does not
        bring: an event, a person.

        `tasks` and `http`: stubs besides those of this object. `seed`: what is ready at the same
        time runs in a random order, the same for the same seed.

        Raises:
            DocumentError: the document is invalid.
            UnknownTask, UnstubbedRequest, UnknownWorkflow: it needs what the test does not give.
            UnknownStub: a stub stands for nothing.
            NoEnd: it does not end.
        """
        run = self.start(
            document, input, tasks=tasks, http=http, seed=seed, business_id=business_id
        )
        return run.finish()

    def start(
        self,
        document: Document,
        input: Json = None,
        *,
        tasks: Mapping[str, Stub] | None = None,
        http: Mapping[str, Stub] | None = None,
        seed: int | None = None,
        business_id: str | None = None,
    ) -> Run:
        """Start an instance and run what needs no time. The parameters are those of `run`."""
        id = self._id_of(document)
        self._use(tasks or {}, http or {})
        self.driver.permute(seed)
        instance = self.driver.engine.insert(id, input, business_id=business_id)
        self.driver.work()
        return Run(self.driver, instance)

    def crash_everywhere(
        self,
        document: Document,
        input: Json = None,
        *,
        tasks: Mapping[str, Stub] | None = None,
        http: Mapping[str, Stub] | None = None,
        drive: Callable[[Run], object] = Run.finish,
        before_each: Callable[[], object] = lambda: None,
        fork: bool = False,
    ) -> CrashReport:
        """Run an instance for every place where the death of a worker shows, and report which
        effects happened twice and which were left undone. Effects are what fakes report by
        `effect`, and changing requests that stubs answer.

        `drive`: brings a started instance to its end (by default: lets time pass); it sends the
        events that the workflow waits for. `before_each`: resets what the fakes remember before
        every run. `fork`: an attempt that dies runs in a process of its own, which is killed.
        Other parameters are those of `run`. Raises what `run` raises.
        """
        id = self._id_of(document)
        self._use(tasks or {}, http or {})

        def play(deaths: Crashes) -> Played:
            before_each()
            copy = self._copy(tasks or {}, http or {})
            copy.driver.worker.deaths = deaths
            run = copy.start(id, input)
            drive(run)
            return Played(copy.driver.engine, copy.driver.worker, run.id)

        return crash_everywhere(play, id, fork=fork)

    def _copy(self, tasks: Mapping[str, Stub], http: Mapping[str, Stub]) -> Workflows:
        """Return an object with the same documents and fresh stubs, and no instances."""
        copy = Workflows(
            tasks={name: fresh(stub) for name, stub in {**self._tasks, **tasks}.items()},
            http={name: fresh(stub) for name, stub in {**self._http, **http}.items()},
            secrets=self._secrets,
            folders=self.folders,
            now=self._start_time,
            limits=self._limits,
            coverage=self._coverage,
        )
        copy.app = copy.driver.worker.app = self.app
        copy.driver.engine.workflows.update(self.driver.engine.workflows)
        return copy

    def _use(self, tasks: Mapping[str, Stub], http: Mapping[str, Stub]) -> None:
        """Use these stubs from now on, besides those of this object."""
        worker = self.driver.worker
        worker.stubs = {**self._tasks, **tasks}
        if tasks:
            check_stubs(tasks, self.driver.engine.workflows.values(), self.app)
        if http:
            worker.http = self._http_stubs({**self._http, **http})

    def _http_stubs(self, answers: Mapping[str, Stub]) -> HttpStubs:
        return HttpStubs(answers, record_request)

    # -- what happens around them --------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The time of the virtual clock (UTC)."""
        return self.driver.engine.now

    @property
    def runs(self) -> list[Run]:
        """Every instance, in the order of their starts."""
        return [Run(self.driver, id) for id in self.driver.engine.rows]

    @property
    def scheduled(self) -> list[Run]:
        """The instances that schedules have started."""
        return [Run(self.driver, id) for id in self._schedules.started]

    @property
    def calls(self) -> list[tuple[str, list[Any], dict[str, Any]]]:
        """Every call of a task: name, positional and keyword arguments."""
        return self.driver.worker.calls

    @property
    def requests(self) -> list[HttpRequest]:
        """Every HTTP request of the documents."""
        return self.driver.worker.http.requests

    @property
    def ledger(self) -> Ledger:
        """What tasks did to the world outside, as their fakes report it (`effect`)."""
        return self.driver.worker.ledger

    def advance(self, **duration: float) -> None:
        """Let time pass for all instances and schedules: ``advance(days=1)``."""
        self.driver.advance(timedelta(**duration))

    def send(
        self, event: Json, data: Json = None, *, namespace: str = "default", **attributes: Json
    ) -> None:
        """Send an event to all that listen in a namespace, and to its schedules: a CloudEvent, or
        its type and its data.

        Raises:
            InvalidEvent: it is no CloudEvent.
        """
        self.driver.send(event, data, attributes, namespace)
