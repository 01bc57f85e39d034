"""What the product hooks into in Celery, kombu and billiard, on the installed versions.

A release that renames or changes one of these parts fails here, with its name, before the
execution tests fail in less obvious ways.
"""

from __future__ import annotations

import importlib
import inspect
import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any, Self

import pytest
from celery import Celery
from celery.app.trace import build_tracer
from kombu.asynchronous import Hub

from orchestrator.celery_versions import (
    CELERY,
    forks_processes,
    publish_batch,
    terminate_handler_fired,
)
from orchestrator.execution.worker.event_loop_calls import EventLoopCalls
from orchestrator.execution.worker.prefetch_limit import slots_of

#: Each part by its module and name, and the parameters that it is called with, or that Celery
#: calls our replacement with; None for a part that is not called.
HOOKS: list[tuple[str, str, tuple[str, ...] | None]] = [
    ("celery.app.trace", "_localized", None),
    ("celery.app.trace", "trace_ok_t", ("retval", "info", "runtime", "retstr")),
    ("celery.app.trace", "TraceInfo", ("state", "retval")),
    ("celery.app.amqp", "Queues.select_add", ("queue",)),
    ("celery.app.amqp", "Queues.deselect", ("exclude",)),
    ("celery.app.amqp", "AMQP.Router", ("queues",)),
    ("celery.app.routes", "Router.route", ("options", "name", "args", "kwargs", "task_type")),
    ("celery.app.task", "Task.signature_from_request", ("request", "args", "kwargs")),
    ("celery.app.task", "Task.on_replace", ("sig",)),
    ("celery.app.task", "Task.retry", ("args", "kwargs", "exc", "throw", "countdown")),
    ("celery.worker.request", "Request.on_accepted", ("pid", "time_accepted")),
    ("celery.worker.request", "Request.on_timeout", ("soft", "timeout")),
    ("celery.worker.request", "Request.acknowledge", ()),
    ("celery.worker.request", "Request.store_errors", None),
    ("celery.worker.request", "Request.request_dict", None),
    ("celery.worker.state", "requests", None),
    ("celery.worker.state", "task_ready", ("request",)),
    ("celery.worker.worker", "WorkController._process_task", ("req",)),
    ("celery.worker.request", "Request.message", None),
    ("kombu.transport.virtual.base", "Transport._deliver", ("message", "queue")),
    ("celery.worker.state", "reserved_requests", None),
    ("celery.worker.state", "active_requests", None),
    ("celery.worker.state", "should_stop", None),
    ("celery.worker.control", "Panel.meta", None),
    ("celery.worker.consumer", "Consumer.create_task_handler", ()),
    ("celery.worker.consumer", "Consumer.add_task_queue", ("queue",)),
    ("celery.worker.consumer", "Consumer.cancel_task_queue", ("queue",)),
    ("celery.worker.consumer", "Consumer.on_decode_error", ("message", "exc")),
    ("celery.worker.consumer", "Consumer.call_soon", ("p",)),
    ("amqp", "Connection.blocking_read", ("timeout",)),
    ("amqp", "Connection.connected", None),
    ("amqp.transport", "TCPTransport.read_frame", ()),
    ("kombu", "Connection.drain_events", ("timeout",)),
    ("kombu.transport.redis", "MultiChannelPoller.get", ("callback", "timeout")),
    ("kombu.utils.eventio", "_select.poll", ("timeout",)),
    ("celery.concurrency.thread", "TaskPool.on_apply", ("target", "args", "kwargs")),
    ("celery.concurrency.prefork", "TaskPool.maintain_pool", ()),
    ("kombu", "Consumer.queues", None),
    ("kombu", "Consumer.add_queue", ("queue",)),
    ("kombu", "Consumer.cancel_by_queue", ("queue",)),
    ("kombu", "Consumer.consuming_from", ("queue",)),
    ("kombu.utils.scheduling", "priority_cycle.consume", ("n",)),
    ("kombu.utils.scheduling", "priority_cycle.rotate", ("last_used",)),
    ("kombu.utils.scheduling", "priority_cycle.update", ("it",)),
    ("celery.concurrency.base", "BasePool.apply_async", ("target", "args", "kwargs")),
    ("celery.concurrency.base", "BasePool.num_processes", None),
    ("celery.concurrency.gevent", "TaskPool.is_green", None),
    ("celery.concurrency.gevent", "TaskPool.on_apply", ("accept_callback", "timeout")),
    ("kombu.message", "Message.ack_log_error", ("logger", "errors")),
    ("kombu.asynchronous", "Hub.add_reader", ("fds", "callback")),
    ("kombu.transport.redis", "Channel._create_client", ("asynchronous",)),
    ("kombu.transport.redis", "Channel.conn_or_acquire", ("client",)),
    ("kombu.transport.redis", "Channel._brpop_read", ()),
    ("kombu.transport.redis", "QoS.can_consume", ()),
    ("billiard.process", "current_process", ()),
]


@pytest.mark.parametrize(("module", "name", "parameters"), HOOKS)
def test_a_hook_is_as_expected(module: str, name: str, parameters: tuple[str, ...] | None) -> None:
    part: Any = importlib.import_module(module)
    for word in name.split("."):
        part = getattr(part, word)
    if parameters is None:
        return
    accepted = inspect.signature(part).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values()):
        return
    assert set(parameters) <= set(accepted), f"{name} takes {list(accepted)}"


def test_the_tested_versions_include_the_installed_one() -> None:
    """A new minor version is added to the table and to the runs of `tests.compatibility`."""
    assert (5, 3) <= CELERY <= (5, 7)


# -- billiard --------------------------------------------------------------------------


def test_an_ordinary_process_is_not_ended_by_a_signal() -> None:
    assert not terminate_handler_fired()


def test_a_child_that_a_signal_ends_knows_it() -> None:
    script = (
        "import os, signal, sys\n"
        "from billiard.common import reset_signals\n"
        "from orchestrator.celery_versions import terminate_handler_fired\n"
        "signal.signal(signal.SIGTERM, lambda *_: None); reset_signals()\n"
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "except SystemExit:\n"
        "    os._exit(40 + terminate_handler_fired())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=60)
    assert done.returncode == 41


def test_a_pool_forks_unless_it_says_otherwise() -> None:
    assert forks_processes(SimpleNamespace())
    assert forks_processes(SimpleNamespace(pool_start_method="fork"))
    assert not forks_processes(SimpleNamespace(pool_start_method="spawn"))


# -- kombu's event loop --------------------------------------------------------------------


def test_another_thread_wakes_the_loop() -> None:
    """The loop sleeps until the next of its timers, or for ten seconds; the call ends the sleep."""
    hub = Hub()
    calls = EventLoopCalls()
    calls.listen(hub)
    called = threading.Event()
    hub.call_later(30, lambda: None)  # what the loop sleeps for
    threading.Timer(0.05, lambda: calls.call(SimpleNamespace(), called.set)).start()

    def run() -> None:
        while not called.is_set():
            hub.run_once()

    loop = threading.Thread(target=run)
    loop.start()
    assert called.wait(5), "the loop slept on"
    loop.join(60)
    hub.close()


def test_without_a_loop_the_consumer_makes_the_call() -> None:
    made: list[Any] = []
    consumer = SimpleNamespace(call_soon=made.append)
    function = threading.Event().set
    EventLoopCalls().call(consumer, function)
    assert made == [function]


# -- batches -------------------------------------------------------------------------------


class _Pipeline(list[str]):
    sent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def execute(self) -> None:
        self.sent = len(self)


class _Channel:
    """As much of kombu's Redis channel as a batch uses before kombu 5.7."""

    def __init__(self) -> None:
        self.pipeline = _Pipeline()

    def _create_client(self, asynchronous: bool = False) -> Any:
        return SimpleNamespace(pipeline=lambda transaction: self.pipeline)


def test_a_batch_before_kombu_5_7_is_one_pipeline() -> None:
    channel = _Channel()
    with publish_batch(SimpleNamespace(channel=channel)):
        for number in "123":
            channel._create_client().append(number)
    assert channel.pipeline.sent == 3
    assert channel._create_client() is not channel.pipeline


def test_a_batch_that_fails_sends_nothing_and_says_so() -> None:
    channel = _Channel()

    def publish() -> None:
        with publish_batch(SimpleNamespace(channel=channel)):
            channel._create_client().append("1")
            raise TypeError("a message that cannot be written")

    with pytest.raises(TypeError):
        publish()
    assert channel.pipeline.sent == 0
    assert channel._create_client() is not channel.pipeline


# -- the tracer ------------------------------------------------------------------------------


def test_the_tracer_calls_the_hook_of_a_class_and_passes_the_request() -> None:
    """As in `celery_hooks`: the tracer calls ``__call__`` of the task's class, and what is set as
    ``__trace__`` gets id, arguments and request."""
    with Celery("traced", broker="memory://", set_as_current=False) as app:
        seen: list[Any] = []

        @app.task(name="shop.pay", bind=True)
        def pay(self: Any, amount: int) -> int:
            seen.append((self.request.id, self.request.instance))
            return amount

        calls: list[Any] = []

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            calls.append((args, kwargs))
            return self.run(*args, **kwargs)

        task = app.tasks["shop.pay"]
        setattr(type(task), "__call__", call)  # noqa: B010  mypy knows its signature
        trace = build_tracer("shop.pay", task, app=app)
        request = {"id": "7", "instance": "i", "is_eager": False, "ignore_result": True}
        result = trace("7", [], {"amount": 3}, request)
        assert (result.retval, calls, seen) == (3, [((), {"amount": 3})], [("7", "i")])


def test_signals_of_the_worker_exist() -> None:
    from celery import signals

    for name in (
        "worker_process_init",
        "worker_process_shutdown",
        "worker_shutting_down",
        "worker_shutdown",
        "task_received",
        "task_revoked",
        "task_unknown",
        "task_rejected",
        "celeryd_init",
    ):
        assert hasattr(signals, name), name


def test_sigusr1_is_the_signal_of_a_soft_limit() -> None:
    from billiard import pool

    assert pool.SIG_SOFT_TIMEOUT == signal.SIGUSR1
    assert os.name == "posix"


# -- gevent ----------------------------------------------------------------------------


def test_a_pool_of_greenlets_has_its_slots_before_any_runs() -> None:
    """Celery 5.3 counts the running ones: a worker that waited for a slot never took a message."""
    pool = SimpleNamespace(is_green=True, limit=4, num_processes=0)
    assert slots_of(pool) == 4
    assert slots_of(SimpleNamespace(limit=4, num_processes=6)) == 6, "a prefork pool may grow"
