"""A users' Celery app whose tasks do what the scenarios say: answer, fail, hang and die.

Every task of every scenario has the same body. It notes that it was asked (`public.asked`,
which the runner made) and looks up what to do. The namespace of an instance is the number of
its scenario.
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
_NOTE = (
    "insert into public.asked (namespace, task, attempt, key) values (%s, %s, %s, %s) returning"
    " (select count(*) from public.asked o where (o.namespace, o.task) = (%s, %s)) + 1"
)
_HANG = "update public.asked set hanging = true where attempt = %s"
_RELEASED = "select released from public.asked where attempt = %s"
#: Whether the last call of a task hangs or is over, as the product has it.
_OVER = (
    "select n.hanging or a.state <> 'claimed' from public.asked n"
    " join orchestrator.attempts a on a.id = n.attempt"
    " where n.namespace = %s and n.task = %s order by n.id desc limit 1"
)


class Ledger:
    """The tables beside the product's, and a few of those."""

    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor

    def value(self, statement: str, *params: Any) -> Any:
        """The only value of the only row; None without a row."""
        self.cursor.execute(statement, params)
        row = self.cursor.fetchone() if self.cursor.description else None
        return row and row[0]

    def wait(self, statement: str, *params: Any) -> None:
        """Wait until the value is true."""
        while not self.value(statement, *params):
            time.sleep(0.02)  # between two looks, never instead of one


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
        noted = (namespace, task, attempt, step.idempotency_key)
        answer = scenario.answer(task, ledger.value(_NOTE, *noted, namespace, task))
        if answer in ("hang", "hang-lost"):
            ledger.value(_HANG, attempt)
            ledger.wait(_RELEASED, attempt)
    return _answer(self, answer, arguments)


def _await_the_other(ledger: Ledger, scenario: Scenario, namespace: str, task: str) -> None:
    """The slower one of two branches begins when the other has ended, or hangs."""
    asked = "select count(*) from public.asked where namespace = %s and task = %s"
    answer = scenario.answer(task, ledger.value(asked, namespace, task) + 1)
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
