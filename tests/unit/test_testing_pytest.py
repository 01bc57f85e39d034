"""The pytest plugin, the coverage of documents, and `step`."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from orchestrator import current_step
from orchestrator.testing import WorkflowCoverage, Workflows, effect, raises, sequence, step
from tests.support.documents import Body, doc

PLUGIN = "orchestrator.testing.pytest_plugin"
ORDER = """
document: {dsl: '1.0.3', namespace: shop, name: order, version: '1.0.0'}
do:
  - reserve:
      call: plugin.reserve
      metadata: {compensate: {call: plugin.release}}
  - kind:
      switch:
        - large: {when: .amount > 100, then: review}
        - small: {when: .amount > 0, then: charge}
  - review: {if: '${ .amount > 500 }', set: {amount: '${ .amount }'}}
  - charge: {call: plugin.charge, with: {amount: '${ .amount }'}}
"""
TASKS = """
from celery import Celery
app = Celery("shop", broker="memory://")
@app.task(name="plugin.reserve")
def reserve():
    return {"amount": 7}
@app.task(name="plugin.release")
def release():
    pass
@app.task(name="plugin.charge")
def charge(amount):
    return amount
"""
TESTS = """
from orchestrator.testing import raises

def test_it_completes(workflows):
    assert workflows.run("order.yaml").output == 7

def test_it_is_undone(workflows):
    run = workflows.run("order.yaml", tasks={"plugin.charge": raises(KeyError("x"))})
    assert run.compensated == ["reserve"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "order.yaml").write_text(ORDER)
    (tmp_path / "shop.py").write_text(TASKS)
    (tmp_path / "test_order.py").write_text(TESTS)
    settings = "[pytest]\nworkflow_app = shop:app\nworkflow_documents = flows\npythonpath = .\n"
    (tmp_path / "pytest.ini").write_text(settings)
    return tmp_path


def run_pytest(folder: Path, *argv: str) -> tuple[int, str]:
    """Run pytest as a user does; `-W error` shows what the plugin itself does wrong."""
    installed = {one.value for one in importlib.metadata.entry_points(group="pytest11")}
    plugin = () if PLUGIN in installed else ("-p", PLUGIN)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *plugin, *argv],
        cwd=folder,
        env={**os.environ, "PYTEST_ADDOPTS": "", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_fixture_runs_documents_with_the_tasks_of_the_project(project: Path):
    status, output = run_pytest(project, "-n", "0")
    assert (status, "2 passed" in output) == (0, True), output


@pytest.mark.slow
def test_the_coverage_shows_what_has_not_run(project: Path):
    below = ("--workflow-coverage-fail-under", "90")
    for expected, argv in ((0, ("-n", "0")), (1, ("-n", "2", *below))):
        status, output = run_pytest(project, "--workflow-coverage", *argv)
        assert status == expected, output
        assert "shop/order/1.0.0        4/5        1/4" in output
        lines = {line.strip() for line in output.splitlines() if "not run:" in line}
        assert lines == {
            "not run: /do/1/kind case large",
            "not run: /do/1/kind no case",
            "not run: /do/2/review",
            "not run: /do/2/review skipped",
        }
    assert "workflow coverage is below 90 %" in output


def test_the_plugin_imports_nothing_until_it_is_used(project: Path):
    (project / "test_order.py").write_text(
        "import sys\n"
        "def test_nothing():\n"
        "    begin = ('orchestrator.', 'celery')\n"
        "    ours = {name for name in sys.modules if name.startswith(begin)}\n"
        f"    assert ours == {{'orchestrator.testing', '{PLUGIN}'}}\n"
    )
    # pytest-celery imports celery in every project.
    status, output = run_pytest(project, "-n", "0", "-p", "no:celery")
    assert status == 0, output


def test_without_a_name_the_app_is_the_one_that_the_project_has_made(project: Path):
    (project / "pytest.ini").write_text("[pytest]\nworkflow_documents = flows\npythonpath = .\n")
    (project / "test_order.py").write_text("import shop\n" + TESTS)
    status, output = run_pytest(project, "-n", "0")
    assert status == 0, output


# -- coverage --------------------------------------------------------------------------------------


def test_tasks_cases_skips_retries_and_compensations_are_counted():
    coverage = WorkflowCoverage()
    switch: Body = {
        "switch": [{"a": {"when": "${ .n > $input.limit }", "then": "t"}}, {"other": {"then": "t"}}]
    }
    block: Body = {
        "try": [{"x": {"call": "x", "metadata": {"compensate": {"call": "u"}}}}],
        "catch": {"retry": {"limit": {"attempt": {"count": 1}}}, "do": [{"h": {"call": "h"}}]},
    }
    document = doc({"s": switch}, {"t": block}, {"i": {"if": "${ .n > 5 }", "call": "x"}})
    tasks: dict[str, Any] = {"x": None, "u": None, "h": {"n": 1}}

    def missing(n: int, **stubs: Any) -> list[str]:
        Workflows(tasks={**tasks, **stubs}, coverage=coverage).run(document, {"n": n, "limit": 3})
        (one,) = coverage.documents.values()
        return one.missing

    assert missing(1, x={"n": 9}) == [
        "/do/0/s case a",
        "/do/1/t retried",
        "/do/1/t/catch/do/0/h",
        "/do/1/t/try/0/x/metadata/compensate",
        "/do/2/i skipped",
    ]
    error = raises(KeyError("x"))
    assert missing(4, x=sequence(error, error, 1)) == ["/do/1/t/try/0/x/metadata/compensate"]
    assert missing(9, x=sequence({"n": 9}, error)) == []
    assert coverage.percent == 100
    assert "test/flow/1.0.0" in "\n".join(coverage.lines())


# -- one task alone --------------------------------------------------------------------------------


def test_a_task_alone_knows_its_step():
    app = Celery("alone", broker="memory://", set_as_current=False)

    @app.task(name="alone.charge", shared=False)
    def charge(amount: int) -> list[Any]:
        given = current_step()
        assert given is not None
        counts = given.heartbeat({"done": amount})
        effect("charge", key=given.idempotency_key)
        return [given.idempotency_key, given.attempt, given.business_id, counts]

    with step(idempotency_key="k", attempt=2, business_id="o-1") as given:
        assert charge(5) == ["k", 2, "o-1", True]
        assert charge(6) == ["k", 2, "o-1", True]
    assert given.progress == [{"done": 5}, {"done": 6}]
    assert len(given.ledger) == 1
    assert current_step() is None
    with step(is_current=False):
        assert charge(5)[-1] is False
    app.close()


def test_the_docs_example_of_a_text_document_is_valid():
    run = Workflows(tasks={name: {"amount": 1} for name in ("plugin.reserve", "plugin.charge")})
    assert run.run(textwrap.dedent(ORDER)).status == "completed"
