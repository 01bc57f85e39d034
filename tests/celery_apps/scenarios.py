"""A user's Celery app whose tasks follow the scenarios: they answer, fail, hang and die.

All tasks of all scenarios have the same body. It records its call in `public.asked`, a table of
the test, and reads its answer from the scenario. The namespace of an instance is the number of its
scenario.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from celery import Celery

from orchestrator import WorkflowError, current_step, install
from tests.support.scenarios import Scenario, scenarios

app = Celery("scenarios", broker=os.environ["ORCHESTRATOR_BROKER_URL"])
app.conf.update(broker_connection_retry_on_startup=True, worker_enable_remote_control=False)
install(app)

_NAMESPACE = "select namespace from orchestrator.instances where id = %s"
_RECORD_CALL = (
    "insert into public.asked (namespace, task, attempt, key) values (%s, %s, %s, %s) returning"
    " (select count(*) from public.asked o where (o.namespace, o.task) = (%s, %s)) + 1"
)
_HANG = "update public.asked set hanging = true where attempt = %s"
_RELEASED = "select released from public.asked where attempt = %s"
#: Whether the last call of a task hangs, or has ended in the product's tables.
_OVER = (
    "select n.hanging or a.state <> 'claimed' from public.asked n"
    " join orchestrator.attempts a on a.id = n.attempt"
    " where n.namespace = %s and n.task = %s order by n.id desc limit 1"
)


class Ledger:
    """Reads and writes the table of calls, and reads a few of the product's tables."""

    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor

    def value(self, statement: str, *params: Any) -> Any:
        """Return the only value of the only row; None without a row."""
        self.cursor.execute(statement, params)
        row = self.cursor.fetchone() if self.cursor.description else None
        return row and row[0]

    def wait(self, statement: str, *params: Any) -> None:
        """Wait until the statement's value is true."""
        while not self.value(statement, *params):
            time.sleep(0.02)  # poll interval


@contextmanager
def _ledger() -> Iterator[Ledger]:
    connection = psycopg2.connect(os.environ["ORCHESTRATOR_DATABASE_URL"])
    try:
        connection.autocommit = True
        yield Ledger(connection.cursor())
    finally:
        connection.close()


def _play(self: Any, /, **arguments: Any) -> Any:
    """The body of every task."""
    task, attempt, step = self.name, self.request.id, current_step()
    assert step is not None
    with _ledger() as ledger:
        namespace = ledger.value(_NAMESPACE, step.instance)
        scenario = scenarios()[int(namespace.removeprefix("s"))]
        _await_the_other(ledger, scenario, namespace, task)
        call = (namespace, task, attempt, step.idempotency_key)
        answer = scenario.answer(task, ledger.value(_RECORD_CALL, *call, namespace, task))
        if answer in ("hang", "hang-lost"):
            ledger.value(_HANG, attempt)
            ledger.wait(_RELEASED, attempt)
    return _answer(self, answer, arguments)


def _await_the_other(ledger: Ledger, scenario: Scenario, namespace: str, task: str) -> None:
    """Delay the slower of two branches until the other one has ended or hangs."""
    count_calls = "select count(*) from public.asked where namespace = %s and task = %s"
    answer = scenario.answer(task, ledger.value(count_calls, namespace, task) + 1)
    if isinstance(answer, dict) and "after" in answer:
        ledger.wait(_OVER, namespace, answer["after"])


def _answer(self: Any, answer: Any, arguments: dict[str, Any]) -> Any:
    if answer in ("lost", "hang-lost"):
        os.kill(os.getpid(), signal.SIGKILL)
    if answer == "hang":
        return {"by": self.name}
    if "error" in answer:
        raise WorkflowError(**answer["error"])
    if "retry" in answer:
        raise self.retry(countdown=answer["retry"], max_retries=None)
    if "expects" in answer:
        assert arguments == answer["expects"]
        return None
    return arguments if answer["ok"] == "echo" else answer["ok"]


for _name in sorted({task for scenario in scenarios() for task in scenario.tasks()}):
    app.task(name=_name, bind=True)(_play)
