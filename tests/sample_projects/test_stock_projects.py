"""Stock projects run a saga over their tasks once our wheel is installed and one line is added.

Each has packages `api` and `workers`, and a `celeryconfig`, of its own, as we do: whatever the
path says, theirs stay theirs and ours is found (see README.md for what they are).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from orchestrator.embedded.supervisor import Process, http_ok, log_says
from tests.support.stack import ROOT, Stack, free_port

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


def run(argv: list[str], **options: Any) -> str:
    """The output of a command that succeeds."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, **options)
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our wheel, as it would be published."""
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)])
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel beside what the projects require."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    requirements = [
        part
        for kind in (DJANGO, FLASK)
        for part in ("-r", str(HERE / kind.folder / "requirements.txt"))
    ]
    interpreter = folder / "bin" / "python"
    pip = [str(interpreter), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run([*pip, "-c", str(ROOT / "constraints.txt"), *requirements, str(wheel)])
    return interpreter


class Project:
    """A copy of a stock project, with servers, and processes of ours and theirs."""

    def __init__(self, kind: Kind, python: Path, stack: Stack) -> None:
        self.kind, self.python, self.stack = kind, python, stack
        self.home = stack.folder / "project"
        shutil.copytree(HERE / kind.folder, self.home)

    @property
    def environment(self) -> dict[str, str]:
        """Its folder stands first on the path of every process, ours too."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CELERY", "ORCHESTRATOR", "PYTHON", "DJANGO", "FLASK"))
        }
        return {
            **kept,
            "PATH": f"{self.python.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.home),
            "SHOP_DATABASE_URL": self.stack.database_url,
            "SHOP_REDIS_URL": self.stack.broker_url.removesuffix("/0"),
            "ORCHESTRATOR_DATABASE_URL": self.stack.database_url,
            "ORCHESTRATOR_BROKER_URL": self.stack.broker_url.removesuffix("/0") + "/1",
        }

    def __call__(self, *argv: str) -> str:
        """Run its Python in its folder."""
        return run([str(self.python), *argv], cwd=self.home, env=self.environment)

    def spawn(self, name: str, *argv: str, env: dict[str, str] | None = None, **o: Any) -> Process:
        """Start a program of its environment, in its folder."""
        return self.stack.supervisor.spawn(
            name,
            [str(self.python.parent / argv[0]), *argv[1:]],
            env={**self.environment, **(env or {})},
            cwd=self.home,
            log=self.stack.folder / f"{name}.log",
            timeout=120,
            **o,
        )

    def add_the_line(self) -> None:
        """The only change to the project."""
        path = self.home / self.kind.made_in
        text = path.read_text()
        assert text.count(self.kind.made) == 1
        indent = self.kind.made[: -len(self.kind.made.lstrip())]
        added = LINES.format(app=self.kind.name).replace("\n", f"\n{indent}").rstrip(" ")
        path.write_text(text.replace(self.kind.made, self.kind.made + added))

    def rows(self) -> list[int]:
        """How many reservations, charges and shipments there are."""
        return [self.stack.sql(f"select count(*) from {table}")[0][0] for table in self.kind.tables]

    def order(self, id: str, **input: Any) -> dict[str, Any]:
        """Run the saga to its end."""
        document = YAML(typ="safe").load(HERE / "order.yaml")
        body = self.stack.deploy(document)
        return self.stack.wait(self.stack.start(body, input={"order": id, **input}), timeout=120)


@pytest.fixture(params=[DJANGO, FLASK], ids=["django", "flask"])
def project(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    database_url: str,
    broker_url: str,
    python: Path,
) -> Iterator[Project]:
    with Stack(tmp_path, database_url, broker_url) as stack:
        yield Project(request.param, python, stack)


def serve(project: Project) -> None:
    """The API and a beat of ours, from the wheel."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    project.stack.client.base_url = url
    program = ("orchestrator", "api", "--port", str(port))
    project.spawn("api", *program, ready=http_ok(f"{url}/livez"))
    project.spawn("beat", "orchestrator", "beat", ready=log_says("beat: Starting"))


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


def test_a_stock_project_needs_one_line(project: Project) -> None:
    project(*project.kind.prepare)
    assert "OK" in project(*project.kind.tests)
    project.add_the_line()
    assert "OK" in project(*project.kind.tests), "its own tests pass as before"

    serve(project)
    project.spawn(
        "worker",
        *("celery", "-A", project.kind.app, "worker", "-l", "INFO", "-c", "2"),
        ready=log_says(" ready."),
    )
    run_sagas(project)
    # What is no step goes its own way: through its queue, into its result backend.
    sent = (
        f"{project.kind.start}\n"
        "import json\n"
        "from workers.tasks import reserve\n"
        "print(json.dumps(reserve.delay('plain', 'lamp').get(timeout=60)))"
    )
    assert '{"order": "plain"}' in project("-c", sent)


def test_our_worker_runs_a_projects_tasks(
    tmp_path: Path, database_url: str, broker_url: str, python: Path
) -> None:
    """Without any line: the project's package `workers`, in a process of ours."""
    with Stack(tmp_path, database_url, broker_url) as stack:
        project = Project(DJANGO, python, stack)
        project(*project.kind.prepare)
        serve(project)
        settings = {
            "ORCHESTRATOR_IMPORTS": "workers.tasks",
            "DJANGO_SETTINGS_MODULE": "shop.settings",
        }
        program = ("orchestrator", "worker", "-c", "2")
        project.spawn("worker", *program, env=settings, ready=log_says(" ready."))
        run_sagas(project)


def test_the_wheel_has_one_package_at_its_top(wheel: Path) -> None:
    names = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"orchestrator"}
