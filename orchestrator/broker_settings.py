"""What Celery must be told about each kind of broker, by URL alone.

The state lives in Postgres and messages are hints, so nothing here is about keeping
messages safe: it is about noticing a dead broker soon, never waiting for one long, and
leaving no message in the hands of a worker that can't run it yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kombu import Connection, Queue
from kombu.exceptions import OperationalError
from kombu.pools import ProducerPool

from orchestrator.errors import BrokerUnavailable, ConfigurationError
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from celery import Celery

REDIS = frozenset({"redis", "rediss", "valkey", "valkeys", "sentinel"})
RABBITMQ = frozenset({"amqp", "amqps", "pyamqp"})

#: Reaching a broker takes milliseconds or does not happen.
CONNECT_TIMEOUT = 2.0
#: How long a half-open connection can go unnoticed, about.
DEAD_PEER_TIMEOUT = 10

#: A publisher whose broker refuses it does not try for long.
PUBLISH_RETRIES = {"max_retries": 1, "interval_start": 0}

#: A prefetched message stands unacknowledged until a slot is free, however long the step
#: before it takes. RabbitMQ closes the channel after half an hour of that, which ends the
#: worker (celery 5.7): it gets a week, in milliseconds.
CONSUMER_TIMEOUT = 7 * 24 * 3600 * 1000


def is_redis(url: str) -> bool:
    """Whether the broker speaks Redis' protocol; if not, it is RabbitMQ.

    Raises:
        ConfigurationError: it is neither.
    """
    scheme = urlsplit(url).scheme
    if scheme not in REDIS | RABBITMQ:
        raise ConfigurationError(
            f"a broker is named by redis:// (Valkey too) or amqp:// (RabbitMQ), not {scheme}://"
        )
    return scheme in REDIS


def broker_settings(url: str) -> dict[str, Any]:
    """Celery's settings for the broker at `url`, for any app that runs our steps."""
    return {
        "broker_url": url.replace("valkey", "redis", 1) if url.startswith("valkey") else url,
        "broker_connection_timeout": CONNECT_TIMEOUT,
        # A worker outlasts any absence of its broker.
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "worker_prefetch_multiplier": 1,
        **(_redis() if is_redis(url) else _rabbitmq()),
    }


def _redis() -> dict[str, Any]:
    return {
        "worker_disable_prefetch": True,
        # priority_steps stays as it is: they name the lists in Redis, so that publishers and
        # workers that disagree about them would not meet. retry_on_timeout stays off: kombu
        # then sends a batch of messages in one round trip.
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
    """The declaration of a queue of ours at the broker at `url`."""
    if is_redis(url):
        return Queue(name, routing_key=name)
    arguments = {"x-queue-type": "quorum", "x-consumer-timeout": CONSUMER_TIMEOUT}
    return Queue(name, routing_key=name, queue_arguments=arguments)


def priority(asked: int, *, redis: bool) -> int:
    """A step's priority as its message has it: 9 is the most urgent for us and for AMQP; on Redis
    it is 0."""
    return 9 - asked if redis else asked


def url_of(app: Celery) -> str:
    """The broker that an app's messages go to; of several that stand in for one another, the
    first. Empty where the app says it in another way."""
    url: Any = app.conf.broker_write_url or ""
    return str(url if isinstance(url, str) else url[0]).partition(";")[0]


def without_password(url: str) -> str:
    """The URL without user, password and query, which may hold a password too."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def reach(url: str, timeout: float) -> str:
    """Connect to the broker at `url` once; returns the url without user and password.

    Raises:
        BrokerUnavailable: it does not answer within about `timeout` seconds.
    """
    options = broker_settings(url)
    transport = {**options["broker_transport_options"], "socket_connect_timeout": timeout}
    named = without_password(url)
    where = options["broker_url"]
    with Connection(where, transport_options=transport, connect_timeout=timeout) as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        except (OSError, OperationalError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BrokerUnavailable(f"{named} does not answer: {reason}") from error
        return named


def publishers(app: Celery, timeout: float, limit: int = 4) -> ProducerPool:
    """Producers of steps' messages for the app's broker, whatever the app's own settings are:
    on RabbitMQ each message is confirmed, and on neither does one wait for the broker for
    much longer than `timeout` seconds."""
    try:
        options = broker_settings(url_of(app))["broker_transport_options"]
    except ConfigurationError:  # a transport for tests, such as memory://
        options = {}
    connect: Callable[..., Connection] = app.connection
    connection = connect(
        app.conf.broker_write_url, connect_timeout=timeout, transport_options=options
    )
    return ProducerPool(connection.Pool(limit=limit), limit=limit)


def keep_client(channel: Any) -> None:
    """Have a channel of kombu's Redis transport keep one client of its connection pool.

    kombu makes a new client to send, to note and to acknowledge each message (5.7,
    `Channel.conn_or_acquire`), which is a third of what a message costs; the pool behind them
    is one and the same. A channel of another transport stays as it is.
    """
    if not hasattr(channel, "_create_client") or "_create_client" in vars(channel):
        return
    create = channel._create_client  # noqa: SLF001
    kept = create()

    def create_client(asynchronous: bool = False) -> Any:
        nonlocal kept
        if asynchronous:
            return create(asynchronous=True)
        if kept.connection_pool is not channel.pool:  # the channel has let go of its connections
            kept = create()
        return kept

    channel._create_client = create_client  # noqa: SLF001


def drop_unreadable(channel: Any, told: Callable[[Exception], None]) -> None:
    """Have a channel of kombu's Redis transport throw away what is no message, and tell of it.

    kombu reads the envelopes in the worker's event loop (5.7, `Channel._brpop_read`): one that is
    no JSON, or lacks a member, would end the worker. A channel of another transport stays as it
    is: its envelopes are not made of text.
    """
    handlers = getattr(channel, "handlers", None)
    if not isinstance(handlers, dict) or "BRPOP" not in handlers:
        return
    read = handlers["BRPOP"]

    def read_on(**options: Any) -> Any:
        try:
            return read(**options)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            told(error)
            return True

    handlers["BRPOP"] = read_on


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Celery's settings for our own processes: API, workers without a users' app, beats."""
    return {
        **broker_settings(settings.broker_url),
        # JSON only: a message must not be able to run code.
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        # Results are in Postgres before Celery hears of them.
        "task_ignore_result": True,
        # An attempt's fence is its claim. Acknowledged early, no message waits for a step.
        "task_acks_late": False,
        # What was not published is published again from Postgres.
        "task_publish_retry": False,
        "task_default_queue": settings.default_queue,
        "task_queues": [queue(settings.default_queue, settings.broker_url)],
        # Events cost about half of the throughput of small steps; Flower's users pay with -E.
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "beat_scheduler": "orchestrator.execution.entry_points.beat_scheduler:Scheduler",
        "imports": settings.imports,
        "enable_utc": True,
        "timezone": "UTC",
    }
