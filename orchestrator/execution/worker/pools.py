"""Which of Celery's worker pools run steps, and how.

| pool | steps | database and heartbeat |
|---|---|---|
| prefork, forked | one in each process, with time limits | in each process; a thread of its own |
| threads | one in each thread | in each thread; a thread of its own |
| solo | one at a time | in the main thread; a thread of its own |
| gevent | one in each greenlet | native threads (`native_threads`) |
| any other | none; other messages are handled as without us | |

A pool that runs no steps does not stop the worker.
"""

from __future__ import annotations

import sys
from typing import Any

from orchestrator.celery_versions import forks_processes
from orchestrator.log import get_logger

log = get_logger(__name__)

PREFORK, THREADS, SOLO, GEVENT = "prefork", "threads", "solo", "gevent"

_SPAWNED = "its processes are not forked and share no memory with the worker that reports them"
_UNKNOWN = "it would stop all its tasks while one waits for Postgres, or is not known"
_EMBEDDED = "it is a test's, inside another program"


def step_pool(controller: Any) -> str | None:
    """Return the name of a worker's pool; None, and one line in the log, if it runs no steps."""
    name, reason = _pool(controller)
    if reason is None:
        return name
    log.warning(
        "This worker runs no steps of workflows, only its other tasks",
        action="pool_without_steps",
        pool=name,
        reason=reason,
        suitable=f"{PREFORK} {THREADS} {GEVENT} {SOLO}",
    )
    return None


def is_program(controller: Any) -> bool:
    """Return whether the worker is a program, not a part of another one, as in a test."""
    from celery.apps.worker import Worker as Program

    return isinstance(controller, Program)


def _pool(controller: Any) -> tuple[str, str | None]:
    """Return the pool's name, and the reason why it runs no steps."""
    from celery.concurrency import prefork, solo, thread

    pool = controller.pool_cls
    if issubclass(pool, thread.TaskPool):
        return THREADS, None
    if issubclass(pool, prefork.TaskPool):
        return PREFORK, None if forks_processes(controller) else _SPAWNED
    name = pool.__module__.rpartition(".")[2]
    if not is_program(controller):  # by default celery.contrib.testing starts a pool of one thread
        return name, _EMBEDDED
    if issubclass(pool, solo.TaskPool):
        return SOLO, None
    # Look Celery's module up instead of importing it: the import would load gevent into a worker
    # without it. A pool of gevent has loaded the module already.
    of_gevent = sys.modules.get("celery.concurrency.gevent")
    if of_gevent is not None and issubclass(pool, of_gevent.TaskPool):
        return GEVENT, None
    return name, _UNKNOWN


def ignore_limits_of_steps(pool: Any) -> None:
    """Let a gevent pool enforce no time limits on steps and internal tasks.

    It would raise a limit at any point of a greenlet, also in a claim or a commit. Call it at each
    (re)connect.
    """
    on_apply = pool.on_apply
    if getattr(on_apply, "ignores_limits", False):
        return

    def apply_without_limits(*args: Any, accept_callback: Any = None, **options: Any) -> Any:
        request = getattr(accept_callback, "__self__", None)
        if getattr(request, "of_orchestrator", False):
            options["timeout"] = 0  # None stands for the pool's own limit
        return on_apply(*args, accept_callback=accept_callback, **options)

    apply_without_limits.ignores_limits = True  # type: ignore[attr-defined]
    pool.on_apply = apply_without_limits
