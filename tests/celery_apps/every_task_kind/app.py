"""A user's app with its own settings and signals, and `install(app)` unless ZOO_PLAIN is set."""

from __future__ import annotations

import json
import os
from importlib import import_module

from celery import Celery, signals
from kombu import Queue

from orchestrator import current_step, install
from tests.celery_apps.every_task_kind import tasks


def _queues():
    """The queues of ZOO_QUEUES, each of this type on RabbitMQ: ``{name: "classic"}``."""
    types = json.loads(os.environ.get("ZOO_QUEUES", "{}"))
    return [
        Queue(name, routing_key=name, queue_arguments={"x-queue-type": type})
        for name, type in types.items()
    ] or None


app = Celery(
    "zoo", broker=os.environ["ORCHESTRATOR_BROKER_URL"], backend=os.environ["ZOO_REDIS_URL"]
)
app.conf.update(
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=int(os.environ.get("ZOO_PREFETCH", "1")),
    result_extended=True,
    task_serializer=os.environ.get("ZOO_SERIALIZER", "json"),
    accept_content=[os.environ.get("ZOO_SERIALIZER", "json")],
    task_routes=json.loads(os.environ.get("ZOO_ROUTES", "{}")),
    task_queues=_queues(),
    broker_transport_options=json.loads(os.environ.get("ZOO_TRANSPORT", "{}")),
    task_queue_max_priority=json.loads(os.environ.get("ZOO_MAX_PRIORITY", "null")),
)
if os.environ.get("ZOO_START_METHOD"):
    app.conf.worker_pool_start_method = os.environ["ZOO_START_METHOD"]
if not os.environ.get("ZOO_PLAIN"):
    install(app)
if os.environ.get("ZOO_PSYCOGREEN"):
    # What psycogreen does: every connection of the process waits in gevent.
    from gevent.socket import wait_read, wait_write
    from psycopg2 import extensions

    def wait(connection, timeout=None):
        while True:
            state = connection.poll()
            if state == extensions.POLL_OK:
                return
            (wait_read if state == extensions.POLL_READ else wait_write)(connection.fileno())

    extensions.set_wait_callback(wait)
if os.environ.get("ZOO_OBSERVE"):
    import_module("tests.celery_apps.every_task_kind.request_recorder")


@app.task(name="zoo.local", bind=True)
def local(self, a):
    return {"a": a, "app": self.app.main}


@app.task(name="zoo.reports")
def reports(key):
    step = current_step()
    assert step is not None
    wanted = step.heartbeat({"percent": 50})
    return {"wanted": wanted, "key": step.idempotency_key, "reference": step.reference}


app.register_task(tasks.Classy())


if "ZOO_STALLED" in os.environ:
    from kombu.transport.redis import QoS

    original = QoS.can_consume

    def can_consume(self):
        return not os.path.exists(os.environ["ZOO_STALLED"]) and original(self)

    setattr(QoS, "can_consume", can_consume)  # noqa: B010  a fault put into kombu


if "ZOO_READ_TIMEOUTS" in os.environ:
    import amqp

    blocking_read = amqp.Connection.blocking_read
    timeouts = open(os.environ["ZOO_READ_TIMEOUTS"], "a", buffering=1)  # noqa: SIM115  of the process
    timeouts.write("patched\n")

    def read(self, timeout=None):
        try:
            return blocking_read(self, timeout)
        except TimeoutError:
            # py-amqp itself looks whether something has arrived (0), and Celery's remote control
            # has a greenlet of its own (1).
            if timeout not in (0, 1):
                timeouts.write(f"{timeout}\n")
            raise

    setattr(amqp.Connection, "blocking_read", read)  # noqa: B010  as above


@signals.task_prerun.connect
def before(task_id, task, args, kwargs, **_):
    if os.environ.get("ZOO_SIGNALS") and task.name == "zoo.hooked":
        tasks.seen("prerun", args=args, kwargs=kwargs, id=task_id, request=task.request.id)


@signals.task_postrun.connect
def after(task_id, task, args, kwargs, retval, state, **_):
    if os.environ.get("ZOO_SIGNALS") and task.name == "zoo.hooked":
        tasks.seen("postrun", args=args, kwargs=kwargs, id=task_id, state=state)
