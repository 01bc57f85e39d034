"""Sends deliveries to webhooks: one sender per beat, any number of beats at once.

A receiver may hang. So each delivery has a thread of its own, and the number of threads is limited
in total, per subscription and per namespace. A subscription whose last try failed has one thread,
and all of these together have a few. So hanging receivers, however many, block neither other
receivers nor the beat.
"""

from __future__ import annotations

import random
import threading
from collections import Counter

from orchestrator import clock, json_codec
from orchestrator.database.connection.database import Database, LockTimeout
from orchestrator.database.connection.notification_listener import NotificationListener
from orchestrator.database.events import delivery_claims, subscription_queries
from orchestrator.database.events.delivery_claims import ClaimedDelivery
from orchestrator.database.events.delivery_queries import CHANNEL
from orchestrator.errors import DatabaseUnavailable
from orchestrator.event_handler.standard_webhooks import Verdict, backoff, headers, verdict
from orchestrator.log import get_logger
from orchestrator.metrics import Meter
from orchestrator.metrics import catalog as metrics
from orchestrator.outage_log import OutageLog
from orchestrator.outbound import OutboundClient, OutboundError
from orchestrator.secrets import webhook_secrets
from orchestrator.secrets.encryption import DecryptionFailed, EncryptionKeyMissing, SecretCipher

log = get_logger(__name__)

#: Largest number of deliveries that one process sends at once, in total and per subscription.
MAX_CONCURRENT = 16
MAX_PER_SUBSCRIBER = 4
#: A namespace with this many deliveries at once gets no further claim. The last claim may exceed
#: the limit: up to eleven.
MAX_PER_NAMESPACE = 8
#: Largest number of deliveries at once to subscriptions whose last try failed.
MAX_FAILING = 4
#: Seconds until a request times out, and until an unrecorded delivery is sent by another beat.
REQUEST_TIMEOUT = 15.0
LEASE = 60.0
#: Longest time between two polls, and the wait while Postgres is away, in seconds.
POLL_INTERVAL, OUTAGE_DELAY = 5.0, 0.5
#: A subscription is disabled after this many failures in a row, if they extend over at least this
#: many seconds.
MAX_FAILURES, MIN_FAILING_TIME = 50, 3600.0

STRUCTURED = "application/cloudevents+json"


def _at_least(counter: Counter[str], most: int) -> set[str]:
    return {name for name, count in counter.items() if count >= most}


class WebhookSender:
    """Sends due deliveries in a thread. `direct_url`: a direct connection to Postgres, for
    LISTEN."""

    def __init__(
        self,
        database: Database,
        direct_url: str,
        outbound: OutboundClient,
        meter: Meter | None = None,
        cipher: SecretCipher | None = None,
    ) -> None:
        self._cipher = cipher or SecretCipher()
        self._meter = meter or Meter()
        self._database = database
        self._outbound = outbound
        self._wakeup = NotificationListener(direct_url, CHANNEL)
        self._sending: Counter[str] = Counter()
        self._namespaces: Counter[str] = Counter()
        self._failing: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._outages = OutageLog("Postgres, for webhooks,")
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread unless it is running."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="orchestrator-webhooks", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """Claim no more deliveries. Another beat sends those again that do not end."""
        self._closed.set()
        self._wakeup.wake()
        if self._thread is None:
            self._wakeup.close()
        else:
            self._thread.join(2.0)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                pause = self.send_due()
                self._outages.answered()
                self._wakeup.wait(pause)
            except DatabaseUnavailable as error:
                self._outages.failed(error)
                self._closed.wait(OUTAGE_DELAY)
            except Exception:
                log.exception("Webhooks can't be sent; trying again", action="webhooks_failed")
                self._closed.wait(POLL_INTERVAL)
        self._wakeup.close()

    def send_due(self) -> float:
        """Start to send the due deliveries. Return the seconds until the next poll."""
        with self._lock:
            free = MAX_CONCURRENT - self._sending.total()
            busy = _at_least(self._sending, MAX_PER_SUBSCRIBER) | _at_least(self._failing, 1)
            busy_namespaces = _at_least(self._namespaces, MAX_PER_NAMESPACE)
            failing = MAX_FAILING - self._failing.total()
        if free <= 0:
            return POLL_INTERVAL
        claimed = delivery_claims.claim(
            self._database,
            free,
            sorted(busy),
            MAX_PER_SUBSCRIBER,
            LEASE,
            sorted(busy_namespaces),
            failing,
        )
        for one in claimed:
            self._count(one, 1)
            threading.Thread(
                target=self._send_one, args=(one,), name="delivery", daemon=True
            ).start()
        if claimed:
            return 0.0
        due = delivery_claims.next_due(self._database)
        # If a delivery is due although none was claimed, check again after half a second. That
        # delivery waits for a free thread, or another beat has it.
        return POLL_INTERVAL if due is None else min(POLL_INTERVAL, due if due > 0 else 0.5)

    def _send_one(self, claimed: ClaimedDelivery) -> None:
        try:
            self._record_result(claimed, *self._post(claimed))
        except (LockTimeout, DatabaseUnavailable) as error:
            log.warning(
                "A delivery's result could not be recorded; it is sent again",
                action="delivery_unknown", delivery=claimed.id, error=str(error),
            )  # fmt: skip
        except Exception:
            log.exception("A delivery failed", action="delivery_failed", delivery=claimed.id)
        finally:
            self._count(claimed, -1)
            self._wakeup.wake()

    def _count(self, claimed: ClaimedDelivery, change: int) -> None:
        with self._lock:
            self._sending[claimed.subscription] += change
            self._namespaces[claimed.namespace] += change
            self._failing[claimed.subscription] += change * claimed.is_failing

    def _post(self, claimed: ClaimedDelivery) -> tuple[int | None, Verdict]:
        jitter = random.random()  # noqa: S311  no secret
        if claimed.event is None:
            return None, Verdict(False, error="the event has been deleted")
        try:
            secret = webhook_secrets.opened(
                self._cipher, claimed.namespace, claimed.subscription, claimed.secret
            )
        except (EncryptionKeyMissing, DecryptionFailed) as error:
            wait = backoff(claimed.attempt, jitter)
            return None, Verdict(False, wait, error=f"its secret: {type(error).__name__}")
        body = json_codec.encode(claimed.event)
        signed = headers(secret, claimed.id, int(clock.now().timestamp()), body)
        try:
            response = self._outbound.send(
                "POST",
                claimed.url,
                headers=[("Content-Type", STRUCTURED), *signed],
                content=body,
                timeout=REQUEST_TIMEOUT,
            )
        except OutboundError as error:
            reason = f"{type(error).__name__}: {error}"[:500]
            return None, Verdict(False, backoff(claimed.attempt, jitter), error=reason)
        return response.status, verdict(response.status, response.headers, claimed.attempt, jitter)

    def _record_result(self, claimed: ClaimedDelivery, status: int | None, result: Verdict) -> None:
        self._meter.count(metrics.DELIVERIES, ("arrived" if result.arrived else "missed",))
        with self._database.transaction() as transaction:
            if result.arrived:
                if delivery_claims.record_success(transaction, claimed, status or 0):
                    subscription_queries.record_success(transaction, claimed.subscription)
                return
            error = result.error or ""
            if not delivery_claims.record_failure(transaction, claimed, status, error, result.wait):
                return
            fails_too_often = subscription_queries.record_failure(
                transaction, claimed.subscription, MAX_FAILURES, MIN_FAILING_TIME
            )
            if result.is_gone or fails_too_often:
                subscription_queries.disable(transaction, claimed.subscription, error)
                log.warning(
                    "A subscription is disabled", action="subscription_disabled",
                    subscription=claimed.subscription, reason=error,
                )  # fmt: skip
