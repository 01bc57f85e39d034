"""The small base and its extras: what is missing is named, and disturbs nothing else."""

from __future__ import annotations

import os
import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import httpx2
import pytest
from click.testing import CliRunner

import orchestrator
from orchestrator import command_plugin, extras
from orchestrator.cli import main
from orchestrator.errors import ConfigurationError
from orchestrator.execution.process import probe_server
from orchestrator.execution.process.installed_parts import require_parts
from orchestrator.metrics import Meter
from orchestrator.secrets.encryption import SecretCipher, new_key
from orchestrator.settings import Settings

#: What needs an extra: commands, servers, migrations, doctor's checks, metrics for Prometheus; or a
#: framework that loads it.
OF_EXTRAS = re.compile(
    r"orchestrator\.(cli|doctor|embedded|examples|_bundled|database\.schema\.(tables|migrations)"
    r"|contrib\.django|metrics\.exposition|database\.operations\.consistency_\w+)\b"
)
#: Libraries of extras that a requirement of the base brings as well.
IN_THE_BASE = {"click", "marshmallow"}


def without(*libraries: str) -> dict[str, str]:
    """The environment of a Python in which these libraries are not installed."""
    folder = Path(os.environ["PYTEST_BLOCKED"])
    (folder / "sitecustomize.py").write_text(
        f"import sys\nsys.modules.update(dict.fromkeys({libraries!r}))\n"
    )
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.fixture(autouse=True)
def _blocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_BLOCKED", str(tmp_path))


def run(*argv: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *argv], env=env, capture_output=True, text=True, timeout=60
    )


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys; old = {*sys.modules}; import orchestrator; print(*{*sys.modules} - old)"
    done = run("-c", code, env={**os.environ})
    assert done.stdout.split() == ["orchestrator"], done.stderr


def test_the_base_imports_no_library_of_an_extra() -> None:
    modules = [
        found.name
        for found in pkgutil.walk_packages(orchestrator.__path__, "orchestrator.", onerror=print)
        if not OF_EXTRAS.match(found.name) and not found.name.endswith("__main__")
    ]
    some = {"orchestrator.client.synchronous.client", "orchestrator.execution.installation"}
    assert some < {*modules}
    blocked = extras.EXTRA_OF.keys() - IN_THE_BASE - {"psycopg2"}
    code = f"import importlib\nfor name in {modules!r}: importlib.import_module(name)"
    done = run("-c", code, env=without(*blocked))
    assert done.returncode == 0, done.stderr


def test_workflows_are_tested_with_the_base_alone() -> None:
    """No extra, no driver of Postgres, no pytest: a document runs with real tasks, stubs and jq."""
    code = """
from celery import Celery
from orchestrator.testing import Workflows
app = Celery("shop", broker="memory://")
@app.task(name="add")
def add(a, b):
    return a + b
document = {
    "document": {"dsl": "1.0.3", "namespace": "t", "name": "f", "version": "1.0.0"},
    "do": [
        {"add": {"call": "add", "with": {"a": 1, "b": "${ [2, 3] | max }"}}},
        {"get": {"call": "http", "with": {"method": "get", "endpoint": "https://a.example"}}},
    ],
}
run = Workflows(app).run(document, http={"GET https://a.example": 7})
assert (run.steps["add"].output, run.output) == (4, 7), run.error
"""
    blocked = extras.EXTRA_OF.keys() - IN_THE_BASE
    done = run("-W", "error", "-c", code, env=without(*blocked, "pytest", "_pytest"))
    assert done.returncode == 0, done.stderr


def test_an_app_and_a_client_need_no_driver_of_postgres() -> None:
    """A web process that only sends, and one that only asks the API."""
    code = (
        "import celery, orchestrator, orchestrator.client\n"
        "orchestrator.install(celery.Celery()); assert orchestrator.current_step() is None"
    )
    done = run("-c", code, env=without("psycopg2", *extras.EXTRA_OF.keys() - IN_THE_BASE))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("library", "sentence"),
    [
        ("jq", "jq is not installed; the expressions of workflows are evaluated with it"),
        ("psycopg2", "psycopg2 is not installed; the extra [binary] has it"),
    ],
)
@pytest.mark.parametrize("program", ["worker", "beat"])
def test_a_worker_and_a_beat_refuse_to_start_with_one_line(
    tmp_path: Path, library: str, sentence: str, program: str
) -> None:
    (tmp_path / "shop.py").write_text(
        "import celery, orchestrator\n"
        "app = celery.Celery(broker='memory://')\norchestrator.install(app)"
    )
    options = {"worker": ["--concurrency=1"], "beat": ["--scheduler=orchestrator"]}[program]
    argv = ["-W", "ignore", "-m", "celery", "-A", "shop", program, *options]
    done = run(*argv, env=without(library))
    assert done.returncode == 2, done.stderr
    assert f"error {sentence}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_with_keys_for_secrets_needs_their_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require_parts(Settings(secrets_key=("some",)))
    monkeypatch.setitem(sys.modules, "cryptography", None)
    require_parts(Settings())
    with pytest.raises(ConfigurationError, match=r"'celery-orchestrator\[secrets\]'"):
        require_parts(Settings(secrets_key=("some",)))


def test_without_their_library_there_are_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    key = new_key()
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert not SecretCipher().ready
    for use in (new_key, lambda: SecretCipher([key])):
        with pytest.raises(extras.PartMissing, match=r"the extra \[secrets\] has it"):
            use()


def test_without_their_library_metrics_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "orchestrator.metrics.exposition", raising=False)
    serving = probe_server.Probes(
        "127.0.0.1:0", lambda: (True, ""), lambda: (True, ""), Meter().read
    )
    try:
        answer = httpx2.get(f"http://127.0.0.1:{serving.port}/metrics")
    finally:
        serving.close()
    assert answer.status_code == 501
    assert "pip install 'celery-orchestrator[metrics]'" in answer.text


def test_only_libraries_of_extras_are_explained() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), extras.optional_imports():
        import_module("no_such_module")
    assert extras.part_missing(ImportError("broken", name="flask")) is None, "it is installed"
    assert extras.is_installed("click")
    assert not extras.is_installed("no_such_module")


# -- the command line in programs of others ------------------------------------------------------


@click.group()
def host() -> None:
    """A program with plugins, as `celery` and `flask` are."""


host.add_command(command_plugin.command)


def test_the_command_line_runs_inside_another_program() -> None:
    shown = CliRunner().invoke(host, ["orchestrator", "run", "--help"])
    assert shown.exit_code == 0
    assert shown.output.startswith("Usage: host orchestrator run")
    assert set(main.commands_at) <= set(
        CliRunner().invoke(host, ["orchestrator", "--help"]).output.split()
    )


def test_the_host_program_works_where_our_commands_cannot_be_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with a click that our options do not suit, or without the extra [server]."""
    monkeypatch.setitem(sys.modules, "orchestrator.cli", None)
    assert "  orchestrator  Durable" in CliRunner().invoke(host, ["--help"]).output
    ran = CliRunner().invoke(host, ["orchestrator", "list"])
    assert ran.exit_code == 2
    assert "need the extra [server]: pip install 'celery-orchestrator[server]'" in ran.output
    assert "Traceback" not in ran.output


@pytest.mark.parametrize("program", ["flask", "celery"])
def test_flask_and_celery_load_none_of_our_modules_for_their_own_commands(program: str) -> None:
    done = run("-m", program, "--help", env=without("orchestrator.cli", "orchestrator.settings"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"orchestrator\s+Durable workflows", done.stdout), done.stdout


def test_the_program_says_what_it_needs() -> None:
    code = "from orchestrator.command_plugin import program; program()"
    done = run("-c", code, env=without("rich"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: the commands of orchestrator need the extra [server]:"
        " pip install 'celery-orchestrator[server]' (rich is not installed)\n"
    )


@pytest.mark.parametrize(
    ("argv", "library", "extra"),
    [
        (("api", "--port", "0"), "flask", "server"),
        (("db", "current"), "sqlalchemy", "server"),
        (("db", "current"), "psycopg2", "binary"),
        (("secret", "new-key"), "cryptography", "secrets"),
        (("dev", "--flower"), "flower", "flower"),
    ],
)
def test_a_command_names_the_extra_that_it_lacks(
    tmp_path: Path, argv: tuple[str, ...], library: str, extra: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *argv],
        env={**without(library), "NO_COLOR": "1"}, cwd=tmp_path, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"error {library} is not installed; the extra [{extra}] has it:"
        f" pip install 'celery-orchestrator[{extra}]'"
    )
