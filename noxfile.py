"""The quick tests of a worker on each set of libraries: ``nox -s worker`` (needs nox and uv).

``nox --list`` names the sessions: {lowest, locked, newest} libraries x a minor version of Celery x
a version of Python. A Python that is not installed is skipped. ``nox -s worker -t lowest`` runs
one set, and ``nox -s "worker-3.12(locked, 5.4)"`` one session; what follows ``--`` goes to pytest.

*lowest* has the lower bounds of pyproject.toml, *locked* the versions of constraints.txt (but
Celery's own), *newest* whatever resolves.
"""

from __future__ import annotations

import re
from pathlib import Path

import nox

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
CELERY = ("5.3", "5.4", "5.5", "5.6", "5.7")
LIBRARIES = ("lowest", "locked", "newest")
#: What Celery brings: constraints.txt has those of its newest version alone.
CELERYS_OWN = re.compile(r"(amqp|billiard|celery|kombu|redis|vine)==", re.IGNORECASE)

#: What a worker and a client use: documents, expressions, claims, steps, calls, metrics.
TESTS = (
    "tests/unit/test_celery_versions.py",
    "tests/unit/test_client.py",
    "tests/unit/test_codec.py",
    "tests/unit/test_document_checks.py",
    "tests/unit/test_document_parse.py",
    "tests/unit/test_expressions.py",
    "tests/unit/test_extras.py",
    "tests/unit/test_log.py",
    "tests/unit/test_metrics.py",
    "tests/unit/test_outbound.py",
    "tests/unit/test_sandbox.py",
    "tests/unit/test_schedule_cron.py",
    "tests/unit/test_settings.py",
    "tests/integration/test_continuation.py",
    "tests/integration/test_dispatcher.py",
    "tests/integration/test_execution_worker.py",
    "tests/integration/test_step_from_inside.py",
)

#: A kombu of its time calls redis-py in a way that later releases of redis-py deprecate.
WARNINGS = ("-W", "ignore:Call to 'get_connection':DeprecationWarning")

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["worker"]


@nox.session(python=PYTHONS)
@nox.parametrize(
    ("libraries", "celery"),
    [
        nox.param(libraries, celery, id=f"{libraries}, {celery}", tags=[libraries])
        for libraries in LIBRARIES
        for celery in CELERY
    ],
)
def worker(session: nox.Session, libraries: str, celery: str) -> None:
    """Run the quick tests of a worker."""
    # 5.3.6 is the first that is supported.
    wanted = "celery==5.3.*,>=5.3.6" if celery == "5.3" else f"celery=={celery}.*"
    session.install("--editable", ".[test]", wanted, *_chosen(session, libraries))
    marks = "not slow and not rabbitmq"
    session.run("pytest", "-q", "-n", "0", "-m", marks, *WARNINGS, *TESTS, *session.posargs)


def _chosen(session: nox.Session, libraries: str) -> tuple[str, ...]:
    if libraries == "lowest":
        return ("--resolution", "lowest-direct")
    if libraries == "newest":
        return ("--upgrade",)
    lines = Path("constraints.txt").read_text().splitlines()
    locked = Path(session.create_tmp()) / "constraints.txt"
    locked.write_text("\n".join(line for line in lines if not CELERYS_OWN.match(line)))
    return ("--constraints", str(locked))
