"""Stock projects run a saga over their tasks once our wheel is installed and one line is added.

Each has packages `api` and `workers`, and a `celeryconfig`, of its own, as we do: whatever the
path says, theirs stay theirs and ours is found (see README.md for what they are).
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psycopg2
import pytest
from ruamel.yaml import YAML

from orchestrator.embedded.supervisor import Process, http_ok, log_says
from tests.support.environments import Home, kill_tree, make_environment, requirement
from tests.support.stack import Stack, free_port

HERE = Path(__file__).parent
LINES = "\nfrom orchestrator import install\n\ninstall({app})\n"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Kind:
    """One project. `made_in` is where its Celery app is made, after `made`, named `name`;
    `app` what its worker is started with; `tables` lists those of a reservation, a charge and
    a shipment; `start` is what a script of theirs begins with."""

    folder: str
    made_in: str
    made: str
    name: str
    app: str
    prepare: tuple[str, ...]
    tests: tuple[str, ...]
    tables: tuple[str, str, str]
    start: str


DJANGO = Kind(
    "django_shop",
    "shop/celery.py",
    'app.config_from_object("celeryconfig")\n',
    "app",
    "shop",
    ("manage.py", "migrate", "--verbosity=0"),
    ("manage.py", "test"),
    ("api_reservation", "api_charge", "api_shipment"),
    "import shop, django; django.setup()",
)
FLASK = Kind(
    "flask_shop",
    "workers/__init__.py",
    '    celery_app.config_from_object("celeryconfig")\n',
    "celery_app",
    "workers.run",
    ("-c", "import workers.run"),
    ("-m", "unittest", "discover", "-t", ".", "tests"),
    ("reservations", "charges", "shipments"),
    "import workers.run",
)


@pytest.fixture(scope="session")
def pythons(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The interpreter of each project's environment: the base of the wheel beside what it has."""

    def made(kind: Kind) -> Path:
        theirs = (HERE / kind.folder / "requirements.txt").read_text().splitlines()
        folder = tmp_path_factory.mktemp(kind.folder)
        return make_environment(folder, *theirs, requirement(wheel))

    return {kind.folder: made(kind) for kind in (DJANGO, FLASK)}


@pytest.fixture(scope="session")
def whole(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment where our programs run beside a project's libraries."""
    folder = tmp_path_factory.mktemp("whole")
    programs = requirement(wheel, "server")
    return make_environment(folder, "celery[redis]", "psycopg2-binary", "Django>=5.2", programs)


class Project(Home):
    """A copy of a stock project, with servers, and processes of ours and theirs."""

    def __init__(self, kind: Kind, python: Path, stack: Stack) -> None:
        super().__init__(stack, python, stack.folder / "project")
        self.kind = kind
        shutil.copytree(HERE / kind.folder, self.folder)
        self.redis = stack.broker_url.removesuffix("/0")
        stack.broker_url = f"{self.redis}/1"

    def environment(self, **more: str) -> dict[str, str]:
        """Its own settings, and ours."""
        urls = {"SHOP_DATABASE_URL": self.stack.database_url, "SHOP_REDIS_URL": self.redis}
        return super().environment(**urls, **more)

    def add_the_line(self) -> None:
        """The only change to the project."""
        path = self.folder / self.kind.made_in
        text = path.read_text()
        assert text.count(self.kind.made) == 1
        indent = self.kind.made[: -len(self.kind.made.lstrip())]
        added = LINES.format(app=self.kind.name).replace("\n", f"\n{indent}").rstrip(" ")
        path.write_text(text.replace(self.kind.made, self.kind.made + added))

    def rows(self) -> list[int]:
        """How many reservations, charges and shipments there are."""
        return [self.stack.sql(f"select count(*) from {table}")[0][0] for table in self.kind.tables]

    def start(self, id: str, **input: Any) -> str:
        """Start the saga."""
        document = YAML(typ="safe").load(HERE / "order.yaml")
        return self.stack.start(self.stack.deploy(document), input={"order": id, **input})

    def order(self, id: str, **input: Any) -> dict[str, Any]:
        """Run the saga to its end."""
        return self.stack.wait(self.start(id, **input), timeout=120)


@pytest.fixture(params=[DJANGO, FLASK], ids=["django", "flask"])
def project(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    database_url: str,
    broker_url: str,
    pythons: dict[str, Path],
) -> Iterator[Project]:
    kind = request.param
    with Stack(tmp_path, database_url, broker_url, lease=2) as stack:
        yield Project(kind, pythons[kind.folder], stack)


def serve(project: Project, server: Path) -> None:
    """The API and a beat, from an environment of ours."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    project.stack.client.base_url = url
    ours = Home(project.stack, server, project.stack.folder)
    program = ("orchestrator", "api", "--port", str(port))
    ours.spawn("api", *program, ready=http_ok(f"{url}/livez"))
    ours.spawn("beat", "orchestrator", "beat", ready=log_says("beat: Starting"))


def run_sagas(project: Project) -> None:
    """One that completes after a retry, one that is undone, one whose retries end."""
    done = project.order("o-1", amount=30, address="here")
    assert done["status"] == "completed", (done["error"], project.stack.logs())
    assert done["output"] == {"order": "o-1", "retries": 1}
    made = project.rows()
    assert min(made) > 0

    declined = project.order("o-2", amount=500, address="here")
    assert (declined["status"], declined["compensation"]) == ("faulted", "completed")
    assert declined["error"]["title"] == "Declined"
    assert project.rows() == made

    lost = project.order("o-3", amount=30, address="nowhere")
    assert (lost["status"], lost["compensation"]) == ("faulted", "completed")
    assert lost["error"]["title"] == "Unreachable"
    assert project.rows() == made


def kill_in_the_middle(project: Project, worker: Process, again: Callable[[], Process]) -> None:
    """An order whose worker is killed while it writes; another worker brings it to its end."""
    stack, (_, charges, _) = project.stack, project.kind.tables
    before = project.rows()
    with psycopg2.connect(stack.database_url) as holder, holder.cursor() as cursor:
        cursor.execute(f"lock table {charges} in access exclusive mode")
        started = project.start("o-4", amount=30, address="here")
        stack.until(
            lambda: stack.sql("select count(*) from pg_locks where not granted")[0][0] > 0,
            "a task waits to write",
        )
        kill_tree(worker)
    holder.close()
    again()
    ended = stack.wait(started, timeout=120)
    assert ended["status"] == "completed", (ended["error"], stack.logs())
    assert project.rows() == [rows + 1 for rows in before]


def test_a_stock_project_needs_one_line(project: Project, server: Path) -> None:
    project(*project.kind.prepare)
    assert "OK" in project(*project.kind.tests)
    project.add_the_line()
    assert "OK" in project(*project.kind.tests), "its own tests pass as before"

    serve(project, server)

    def worker(name: str = "worker") -> Process:
        argv = ("celery", "-A", project.kind.app, "worker", "-l", "INFO", "-c", "2")
        return project.spawn(name, *argv, "-n", f"{name}@here", ready=log_says(" ready."))

    first = worker()
    run_sagas(project)
    # What is no step goes its own way: through its queue, into its result backend.
    sent = (
        f"{project.kind.start}\n"
        "import json\n"
        "from workers.tasks import reserve\n"
        "print(json.dumps(reserve.delay('plain', 'lamp').get(timeout=60)))"
    )
    assert '{"order": "plain"}' in project("-c", sent)
    if project.kind is DJANGO:
        start_in_a_transaction(project)
    kill_in_the_middle(project, first, lambda: worker("worker-2"))


def start_in_a_transaction(project: Project) -> None:
    """An order in a Django transaction that rolls back, and one in a transaction that commits."""
    stack, before = project.stack, project.rows()
    stack.sql(
        "insert into orchestrator_outbox.logins (login, namespace)"
        " select session_user, namespace from orchestrator.workflows where name = 'order' limit 1"
    )
    submitted = (
        f"{project.kind.start}\n"
        "from django.db import transaction\n"
        "from orchestrator.contrib.django import start_in\n"
        "for id in ('o-5', 'o-6'):\n"
        "    with transaction.atomic():\n"
        "        order = {'order': id, 'amount': 30, 'address': 'here'}\n"
        "        started = start_in('stock/order', order)\n"
        "        transaction.set_rollback(id == 'o-5')\n"
        "print(started, flush=True)\n"
    )
    id = project("-c", submitted).strip().splitlines()[-1]
    ended = stack.wait(id, timeout=120)
    assert ended["status"] == "completed", (ended["error"], stack.logs())
    assert ended["input"]["order"] == "o-6"
    assert project.rows() == [rows + 1 for rows in before]


def test_our_worker_runs_a_projects_tasks(
    tmp_path: Path, database_url: str, broker_url: str, whole: Path, server: Path
) -> None:
    """Without any line: the project's package `workers`, in a process of ours."""
    with Stack(tmp_path, database_url, broker_url) as stack:
        project = Project(DJANGO, whole, stack)
        project(*project.kind.prepare)
        serve(project, server)
        settings = {
            "ORCHESTRATOR_IMPORTS": "workers.tasks",
            "DJANGO_SETTINGS_MODULE": "shop.settings",
        }
        program = ("orchestrator", "worker", "-c", "2")
        project.spawn("worker", *program, env=settings, ready=log_says(" ready."))
        run_sagas(project)


def test_a_web_application_needs_only_the_client(
    tmp_path: Path,
    database_url: str,
    broker_url: str,
    wheel: Path,
    server: Path,
    pythons: dict[str, Path],
) -> None:
    """FastAPI beside the base, without a driver of Postgres; it is killed while an order runs."""
    theirs = (HERE / "fastapi_shop" / "requirements.txt").read_text().splitlines()
    python = make_environment(tmp_path / "venv", *theirs, requirement(wheel))
    with Stack(tmp_path, database_url, broker_url, lease=2) as stack:
        shop = Project(DJANGO, pythons["django_shop"], stack)
        shop(*shop.kind.prepare)
        shop.add_the_line()
        serve(shop, server)
        argv = ("celery", "-A", "shop", "worker", "-l", "INFO", "-c", "2")
        shop.spawn("worker", *argv, ready=log_says(" ready."))
        stack.deploy(YAML(typ="safe").load(HERE / "order.yaml"))

        port = free_port()
        web = Home(stack, python, HERE / "fastapi_shop")
        uvicorn = ("uvicorn", "main:app", "--port", str(port))
        settings = {"ORCHESTRATOR_API_URL": str(stack.client.base_url)}
        order = f"http://127.0.0.1:{port}/orders/o-1"
        body = {"amount": 30, "address": "here"}

        def serving(name: str) -> Process:
            ready = http_ok(f"http://127.0.0.1:{port}/openapi.json")
            return web.spawn(name, *uvicorn, env=settings, ready=ready)

        first = serving("web")
        charges = shop.kind.tables[1]
        with psycopg2.connect(stack.database_url) as holder, holder.cursor() as cursor:
            cursor.execute(f"lock table {charges} in access exclusive mode")
            with ThreadPoolExecutor(1) as pool:
                lost = pool.submit(httpx2.post, order, json=body, timeout=60)
                stack.until(
                    lambda: stack.sql("select count(*) from pg_locks where not granted")[0][0] > 0,
                    "the order waits to charge",
                )
                kill_tree(first)
                with pytest.raises(httpx2.TransportError):
                    lost.result()
        holder.close()
        serving("web-2")
        answer = httpx2.post(order, json=body, timeout=120).json()
        assert answer["status"] == "completed", stack.logs()
        assert answer["output"] == {"order": "o-1", "retries": 1}
        assert shop.rows() == [1, 1, 1], "asked twice, done once"
        assert stack.sql("select count(*) from orchestrator.instances") == [(1,)]


def test_the_wheel_has_one_package_at_its_top(wheel: Path) -> None:
    names = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"orchestrator"}
