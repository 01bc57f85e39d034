"""Celery's settings for each kind of broker, chosen by the broker's URL.

All state is in Postgres and messages are hints, so these settings do not protect messages. They
notice a dead broker soon, bound every wait for it, and prevent workers from prefetching messages
that they cannot run yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kombu import Connection, Queue
from kombu.exceptions import OperationalError
from kombu.pools import ProducerPool

from orchestrator import sqs_broker
from orchestrator.celery_versions import CONSUMES_QUORUM_QUEUES
from orchestrator.errors import BrokerUnavailable, ConfigurationError
from orchestrator.settings import Settings
from orchestrator.sqs_broker import SQS

if TYPE_CHECKING:
    from celery import Celery

REDIS = frozenset({"redis", "rediss", "valkey", "valkeys", "sentinel"})
RABBITMQ = frozenset({"amqp", "amqps", "pyamqp"})

#: Options of kombu's Redis transport that are part of the names of lists: the separator and the
#: steps of priorities, and a prefix.
SHARED_OPTIONS = ("sep", "global_keyprefix", "priority_steps")

#: Longest time to connect to a broker, in seconds; a live one answers within milliseconds.
CONNECT_TIMEOUT = 2.0
#: Seconds after which a half-open connection is noticed, approximately.
DEAD_PEER_TIMEOUT = 10

#: The scheduler of our own processes' apps.
_SCHEDULER = "orchestrator.execution.entry_points.beat_scheduler:Scheduler"

#: Retries of a publisher whose broker refuses it; the beats publish again later.
PUBLISH_RETRIES = {"max_retries": 1, "interval_start": 0}

#: Longest time that RabbitMQ lets a message stay unacknowledged, in milliseconds: one week. A
#: prefetched message waits until the step before it has ended. RabbitMQ's default of 30 minutes
#: would close the channel, which ends the worker (celery 5.7).
CONSUMER_TIMEOUT = 7 * 24 * 3600 * 1000


def is_redis(url: str) -> bool:
    """Return whether the broker uses Redis' protocol; if not, it is RabbitMQ or SQS.

    Raises:
        ConfigurationError: the URL names none of them.
    """
    scheme = urlsplit(url).scheme
    if scheme not in REDIS | RABBITMQ | SQS:
        raise ConfigurationError(
            "a broker is named by redis:// (Valkey too), amqp:// (RabbitMQ) or sqs:// (Amazon SQS),"
            f" not {scheme}://"
        )
    return scheme in REDIS


def is_sqs(url: str) -> bool:
    """Return whether the broker is Amazon SQS."""
    return urlsplit(url).scheme in SQS


def broker_settings(url: str) -> dict[str, Any]:
    """Return Celery's settings for the broker at `url`, for any app that runs steps."""
    return {
        "broker_url": url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
        "broker_connection_timeout": CONNECT_TIMEOUT,
        # Workers try without a limit to connect again, so that a worker survives any outage of its
        # broker.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "worker_prefetch_multiplier": 1,
        **_of_kind(url),
    }


def _of_kind(url: str) -> dict[str, Any]:
    if is_redis(url):
        return _redis()
    return sqs_broker.settings() if is_sqs(url) else _rabbitmq()


def _redis() -> dict[str, Any]:
    return {
        # Do not set `priority_steps`: it names the lists in Redis, so publishers and workers must
        # agree on it. Do not set `retry_on_timeout` either, so that kombu sends a batch of messages
        # in one round trip.
        "broker_transport_options": {
            **PUBLISH_RETRIES,
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "socket_timeout": 5.0,
            "socket_keepalive": True,
            "health_check_interval": DEAD_PEER_TIMEOUT,
        },
    }


def _rabbitmq() -> dict[str, Any]:
    return {
        "broker_heartbeat": DEAD_PEER_TIMEOUT,
        "task_default_queue_type": "quorum",
        "task_create_missing_queue_type": "quorum",
        "broker_transport_options": {
            **PUBLISH_RETRIES,
            "confirm_publish": True,
            "write_timeout": 5.0,
        },
    }


def queue(name: str, url: str) -> Queue:
    """Return the declaration of the control queue for the broker at `url`."""
    return _queue(name, url, is_quorum=True)


def default_queue(name: str, url: str) -> Queue:
    """Return the declaration of our own workers' default queue.

    It is a classic one where Celery cannot consume a quorum queue."""
    return _queue(name, url, is_quorum=CONSUMES_QUORUM_QUEUES)


def _queue(name: str, url: str, *, is_quorum: bool) -> Queue:
    if is_redis(url):
        return Queue(name, routing_key=name)
    if is_sqs(url):
        return sqs_broker.refuse_fifo(Queue(name, routing_key=name))
    type_ = {"x-queue-type": "quorum"} if is_quorum else {}
    arguments = {**type_, "x-consumer-timeout": CONSUMER_TIMEOUT}
    return Queue(name, routing_key=name, queue_arguments=arguments)


def priority(value: int, *, redis: bool) -> int:
    """Return the priority of a step's message: the most urgent is 9 on AMQP, and 0 on Redis."""
    return 9 - value if redis else value


def url_of(app: Celery) -> str:
    """Return the URL of the broker to which an app publishes; the first of several alternatives.

    Empty if the app configures its broker in another way."""
    url: Any = app.conf.broker_write_url or ""
    return str(url if isinstance(url, str) else url[0]).partition(";")[0]


def without_password(url: str) -> str:
    """Return the URL without user, password and query, which may contain a password too."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def reach(url: str, timeout: float) -> str:
    """Connect to the broker at `url` once; return the URL without user and password.

    Raises:
        BrokerUnavailable: the broker does not answer within about `timeout` seconds.
    """
    options = broker_settings(url)
    transport = {**options["broker_transport_options"], "socket_connect_timeout": timeout}
    named = without_password(url)
    where = options["broker_url"]
    with Connection(where, transport_options=transport, connect_timeout=timeout) as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
            if is_sqs(url):
                connection.channel()  # kombu asks SQS for its queues
        except broker_errors(connection) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BrokerUnavailable(f"{named} does not answer: {reason}") from error
        return named


def broker_errors(connection: Any) -> tuple[type[BaseException], ...]:
    """Return the errors of a broker, or of a connection to it."""
    is_sqs = connection.transport.driver_type == "sqs"
    return (
        *(OSError, OperationalError),
        *connection.connection_errors,
        *connection.channel_errors,
        *(sqs_broker.client_errors() if is_sqs else ()),
    )


def refuse_cluster(url: str, timeout: float = CONNECT_TIMEOUT) -> None:
    """Raise `ConfigurationError` if the broker is a Redis Cluster; kombu has no transport for one.

    A broker that does not answer, or shows no information, is left to Celery."""
    if not is_redis(url):
        return
    where = broker_settings(url)["broker_url"]
    options = {"socket_connect_timeout": timeout, **PUBLISH_RETRIES}
    with Connection(where, transport_options=options, connect_timeout=timeout) as connection:
        try:
            channel: Any = connection.default_channel
            is_cluster = channel.client.info("cluster").get("cluster_enabled")
        except broker_errors(connection):
            return
    if is_cluster:
        raise ConfigurationError(
            f"{without_password(url)} is a Redis Cluster, which Celery cannot use as a broker: use"
            " one server, or Sentinel (sentinel://), or RabbitMQ"
        )


def publishers(
    app: Celery, timeout: float, announced: Mapping[str, Any] | None = None, limit: int = 4
) -> ProducerPool:
    """Return producers of messages for the app's broker, independent of the app's own settings.

    RabbitMQ confirms each message. A producer waits for its broker for about `timeout` seconds
    at most. `announced`: the options of Redis' transport that a user's app has. `limit`: largest
    number of connections."""
    try:
        options = with_announced(url_of(app), announced or {})
    except ConfigurationError:  # a transport for tests, such as memory://
        options = {}
    connect: Callable[..., Connection] = app.connection
    connection = connect(
        app.conf.broker_write_url, connect_timeout=timeout, transport_options=options
    )
    return ProducerPool(connection.Pool(limit=limit), limit=limit)


def with_announced(url: str, announced: Mapping[str, Any]) -> dict[str, Any]:
    """Return the transport options for the broker at `url`, with those that a user's app has
    announced, on which all processes must agree on Redis and on SQS."""
    options = dict(broker_settings(url)["broker_transport_options"])
    shared = _shared_names(url)
    return {**options, **{name: announced[name] for name in shared if name in announced}}


def _shared_names(url: str) -> tuple[str, ...]:
    """Return the transport options on which all processes must agree."""
    if urlsplit(url).scheme in SQS:
        return sqs_broker.SHARED_OPTIONS
    return SHARED_OPTIONS if urlsplit(url).scheme in REDIS else ()


def is_own_app(app: Celery) -> bool:
    """Return whether the app is one of our own processes' (`celery_settings`), not a user's."""
    return bool(app.conf.beat_scheduler == _SCHEDULER)


def shared_options(app: Celery) -> dict[str, Any]:
    """Return the options of an app on which publishers and workers must agree."""
    options = dict(app.conf.broker_transport_options or {})
    names = _shared_names(url_of(app))
    return {name: options[name] for name in names if options.get(name)}


def keep_client(channel: Any) -> None:
    """Let a channel of kombu's Redis transport reuse one client of its connection pool.

    kombu creates a new client of the same pool to send, to record and to acknowledge each message
    (5.7, `Channel.conn_or_acquire`), which is a third of a message's cost. A channel of another
    transport is not changed.
    """
    if not hasattr(channel, "_create_client") or "_create_client" in vars(channel):
        return
    create = channel._create_client  # noqa: SLF001
    client = create()

    def create_client(asynchronous: bool = False) -> Any:
        nonlocal client
        if asynchronous:
            return create(asynchronous=True)
        if client.connection_pool is not channel.pool:  # the channel has replaced its pool
            client = create()
        return client

    channel._create_client = create_client  # noqa: SLF001


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Return Celery's settings for our own processes: APIs, our workers and beats."""
    return {
        **broker_settings(settings.broker_url),
        # Accept and send only JSON: a message with pickled Python objects could run code in its
        # reader.
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        # Let Celery store no results: a step's result is committed to Postgres before Celery
        # receives it.
        "task_ignore_result": True,
        # Acknowledge a message before its step runs, since Postgres keeps the attempt: the claim
        # there decides which worker runs the attempt, and the beats publish an attempt again whose
        # message was lost.
        "task_acks_late": False,
        # Do not let Celery repeat a failed publish: the beats publish the attempt again.
        "task_publish_retry": False,
        "task_default_queue": settings.default_queue,
        "task_queues": [default_queue(settings.default_queue, settings.broker_url)],
        # By default workers send no Celery events, which cost about half of the throughput of small
        # steps. The worker's option `-E` turns these events on, for Flower.
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "beat_scheduler": _SCHEDULER,
        "imports": settings.imports,
        "enable_utc": True,
        "timezone": "UTC",
    }
