"""A user's Celery app for the fault tests: every run of a task writes a line to a file.

CHAOS_LEDGER names the file, which is outside the product. The line is written before the effect
counts as done, in one `write`, so that a killed process leaves a complete line or none.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from celery import Celery, current_task, shared_task
from celery.signals import after_setup_logger

from orchestrator import current_step, install
from orchestrator.core.engine_version import ENGINE
from orchestrator.log import formatter

app = Celery("chaos", broker=os.environ["ORCHESTRATOR_BROKER_URL"])
app.conf.update(broker_connection_retry_on_startup=True, worker_enable_remote_control=False)
install(app)


CODE = Path(os.environ.get("CHAOS_CODE", "code"))
#: The release of this code that the process runs.
RELEASE = CODE.read_text() if CODE.exists() else "0"


@after_setup_logger.connect
def _as_json(logger, **_):
    for handler in logger.handlers:
        handler.setFormatter(formatter(as_json=True))


def _record(name: str) -> None:
    step = current_step()
    record = {
        "name": name,
        "attempt": current_task.request.id if step else None,
        "key": step.idempotency_key if step else None,
        "pid": os.getpid(),
        "code": RELEASE,
        "engine": ENGINE,
        "at": time.time(),
        "true": time.clock_gettime(time.CLOCK_TAI),  # not stepped with the wall clock
    }
    file = os.open(os.environ["CHAOS_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, json.dumps(record).encode() + b"\n")
    finally:
        os.close(file)


@shared_task(name="chaos.effect")
def effect(name, seconds=0.0):
    _record(name)
    if seconds:
        time.sleep(seconds)  # stands for work
    return {"done": name}


@shared_task(name="chaos.undo")
def undo(name):
    _record(f"undo {name}")
    return {"undone": name}


@shared_task(name="chaos.fail")
def fail(name):
    _record(name)
    raise ValueError(name)


@shared_task(name="chaos.die")
def die(name, how):
    _record(name)
    if how == "exit":
        os._exit(3)
    if how == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    os.kill(os.getpid(), signal.SIGKILL)  # as the kernel kills a process that uses too much memory


@shared_task(name="chaos.large")
def large(size):
    _record("large")
    return "x" * size


@shared_task(name="chaos.hang")
def hang(name):
    _record(name)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)  # it hangs
