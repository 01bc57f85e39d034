"""Run the execution tests on versions of Celery: ``python -m tests.compatibility``.

Each version gets an environment made by uv: with the kombu, billiard and redis-py of its time,
and with the newest that resolve. ``--docs`` writes the rows of the runs into the table of
docs/operations/compatibility.md; rows of other versions stay.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.compatibility.page import Row, write
from tests.compatibility.versions import CELERY, Run, runs

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / "build" / "compatibility"

#: The execution tests.
TESTS = (
    "tests/unit/test_celery_versions.py",
    "tests/unit/test_task_router.py",
    "tests/unit/test_running_attempt.py",
    "tests/unit/test_outcomes.py",
    "tests/integration/test_announced_routes.py",
    "tests/integration/test_companion_queues.py",
    "tests/integration/test_continuation.py",
    "tests/integration/test_dispatcher.py",
    "tests/integration/test_execution_routing.py",
    "tests/integration/test_execution_worker.py",
    "tests/integration/test_execution_zoo.py",
    "tests/integration/test_step_from_inside.py",
)
#: Those of a broker, and a few for `make verify`.
BY_BROKER = {
    "redis": ("not rabbitmq", TESTS),
    "rabbitmq": ("rabbitmq", (TESTS[5], *TESTS[8:11], "tests/integration/test_brokers.py")),
}
SAMPLE = ("not rabbitmq and not slow", TESTS)

_VERSIONS = (
    "import json, platform; from importlib.metadata import version;"
    "names = ('celery', 'kombu', 'billiard', 'redis');"
    "print(json.dumps([*map(version, names), platform.python_version()]))"
)


def main() -> int:
    """Make the environments, run the tests, print the table; 1 if a test has failed."""
    options = _options()
    chosen = runs(tuple(options.celery or CELERY))
    if options.newest:
        chosen = [Run("")]
    if options.broker:
        chosen = [run for run in chosen if run.broker == options.broker]
    if options.only:
        chosen = [run for run in chosen if bool(run.others) == (options.only == "of-its-time")]
    rows = []
    for run in chosen:
        row = _run(run, sample=options.sample, arguments=options.arguments)
        print(row.line(), flush=True)
        rows.append(row)
        if options.docs:
            write(options.docs, [row])
        if not options.keep:
            shutil.rmtree(ENVIRONMENTS / run.name, ignore_errors=True)
    return int(any(row.failed for row in rows) or not rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.compatibility", description=__doc__)
    parser.add_argument("--celery", action="append", help="a version; may be repeated")
    parser.add_argument("--newest", action="store_true", help="the newest Celery that resolves")
    parser.add_argument("--only", choices=("of-its-time", "newest"), help="one set of libraries")
    parser.add_argument("--broker", choices=tuple(BY_BROKER), help="the runs on this broker alone")
    parser.add_argument("--sample", action="store_true", help="leave out the slow tests")
    parser.add_argument("--docs", type=Path, help="the page to write the table into")
    parser.add_argument("--keep", action="store_true", help="keep the environments")
    parser.add_argument("arguments", nargs="*", help="for pytest, after --")
    return parser.parse_args()


def _run(run: Run, *, sample: bool, arguments: list[str]) -> Row:
    python = _environment(run)
    marks, tests = SAMPLE if sample else BY_BROKER[run.broker]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        argv = ["-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-m", marks]
        subprocess.run(
            [str(python), *argv, "-k", "not 1000", f"--junitxml={report}", *tests, *arguments],
            cwd=ROOT,
            stdout=sys.stderr,
            check=False,
        )
        counts = _counts(report)
    of_interpreter = [str(python), "-c", _VERSIONS]
    versions = json.loads(subprocess.check_output(of_interpreter, cwd=folder_of(python)))
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return Row(*versions, run.broker, *counts, day)  # type: ignore[call-arg]


def folder_of(python: Path) -> Path:
    """The environment of an interpreter, where no file of ours hides an installed module."""
    return python.parent.parent


def _environment(run: Run) -> Path:
    """The interpreter of the run's environment, which is made where it is missing."""
    folder = ENVIRONMENTS / run.name
    python = folder / "bin" / "python"
    if not python.exists():
        uv = [sys.executable, "-m", "uv"]
        environment = {**os.environ, "VIRTUAL_ENV": str(folder)}
        subprocess.run([*uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
        argv = [*uv, "pip", "install", "-q", "--python", str(python)]
        subprocess.run(
            [*argv, "--editable", f"{ROOT}[test]", *run.requirements],
            check=True,
            env=environment,
        )
    return python


def _counts(report: Path) -> tuple[int, int, int]:
    """Tests that passed, failed and were skipped; all 0, 1, 0 where pytest wrote no report."""
    if not report.exists():
        return 0, 1, 0
    suite = next(ET.parse(report).iter("testsuite"))
    total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    return total - failed - skipped, failed, skipped


if __name__ == "__main__":
    sys.exit(main())
