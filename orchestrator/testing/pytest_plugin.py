"""The pytest plugin: the fixture `workflows`, and ``--workflow-coverage``.

pytest loads it in every project that has the distribution installed, so it imports nothing of ours
until a test asks for a fixture or the option is given.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from celery import Celery

    from orchestrator.testing.coverage import WorkflowCoverage
    from orchestrator.testing.workflows import Workflows

_OUTPUT = "workflow_coverage"
_COVERAGE = pytest.StashKey["WorkflowCoverage"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, and the settings in pytest's configuration file."""
    group = parser.getgroup("workflows")
    group.addoption(
        "--workflow-coverage",
        action="store_true",
        help="show which tasks and branches of documents the tests have run",
    )
    group.addoption(
        "--workflow-coverage-fail-under",
        type=float,
        default=None,
        metavar="PERCENT",
        help="fail if fewer of them have run",
    )
    parser.addini("workflow_app", "the Celery app whose tasks run: module:name")
    parser.addini("workflow_documents", "folders of documents", type="paths", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count, if asked to."""
    if config.getoption("--workflow-coverage") or _limit(config) is not None:
        from orchestrator.testing.coverage import WorkflowCoverage

        config.stash[_COVERAGE] = WorkflowCoverage()


def _limit(config: pytest.Config) -> float | None:
    limit: float | None = config.getoption("--workflow-coverage-fail-under")
    return limit


def _coverage(config: pytest.Config) -> WorkflowCoverage | None:
    return config.stash.get(_COVERAGE, None)


@pytest.fixture
def workflow_app(pytestconfig: pytest.Config) -> Celery | None:
    """The Celery app whose tasks `workflows` runs: `workflow_app` of pytest's configuration, else
    the app that the project has made. Override this fixture to give another one."""
    name = str(pytestconfig.getini("workflow_app"))
    if name:
        module, _, attribute = name.partition(":")
        app: Celery = getattr(import_module(module), attribute or "app")
        return app
    state: Any = sys.modules.get("celery._state")
    made: Celery | None = state and (state._tls.current_app or state.default_app)  # noqa: SLF001
    return made


@pytest.fixture
def workflows(request: pytest.FixtureRequest, workflow_app: Celery | None) -> Workflows:
    """`orchestrator.testing.Workflows` for one test. Relative paths of documents begin at the
    test's own folder, at those of `workflow_documents`, and at pytest's root."""
    from orchestrator.testing.workflows import Workflows

    config = request.config
    folders = [request.path.parent, *config.getini("workflow_documents"), config.rootpath]
    return Workflows(workflow_app, folders=folders, coverage=_coverage(config))


# -- the report ------------------------------------------------------------------------------------


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand a worker's numbers to pytest-xdist's controller; fail below the limit."""
    coverage, output = _coverage(session.config), getattr(session.config, "workeroutput", None)
    if coverage is None:
        return
    if output is not None:
        output[_OUTPUT] = coverage.as_json()
    elif _is_too_low(session.config, coverage) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _is_too_low(config: pytest.Config, coverage: WorkflowCoverage) -> bool:
    limit = _limit(config)
    return limit is not None and coverage.percent < limit


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    """Take the numbers of a worker of pytest-xdist."""
    del error
    coverage = _coverage(node.config)
    told = getattr(node, "workeroutput", {}).get(_OUTPUT)
    if coverage is not None and told is not None:
        coverage.merge(told)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show the report."""
    coverage = _coverage(config)
    if coverage is None:
        return
    terminalreporter.section("workflow coverage")
    for line in coverage.lines():
        terminalreporter.write_line(line)
    if _is_too_low(config, coverage):
        text = f"workflow coverage is below {_limit(config):g} %"
        terminalreporter.write_line(f"FAILED: {text}", red=True)
