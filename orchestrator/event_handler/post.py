"""Sends deliveries to webhooks: one post office a beat, any number of beats at once.

A receiver may hang, so each delivery is sent by a thread of its own, a few at a time, and of
one subscriber only some of them: whoever hangs holds up nobody else, and no beat.
"""

from __future__ import annotations

import random
import threading
from collections import Counter

from orchestrator import clock, codec
from orchestrator.database import deliveries, subscriptions
from orchestrator.database.connection import Busy, Database
from orchestrator.database.deliveries import CHANNEL, Claimed
from orchestrator.database.listening import Listener
from orchestrator.errors import DatabaseUnavailable
from orchestrator.event_handler.webhooks import Verdict, backoff, headers, verdict
from orchestrator.log import get_logger
from orchestrator.metrics import Meter
from orchestrator.metrics import catalog as metrics
from orchestrator.outbound import Outbound, OutboundError

log = get_logger(__name__)

#: Deliveries that one process sends at once, and of those, to one subscriber.
AT_ONCE = 16
EACH = 4
#: Seconds that a receiver may take, and within which its sender must have said how it went.
PATIENCE = 15.0
LEASE = 60.0
#: How often to look at least, in s; and when to look again after Postgres was away.
LOOK, AWAY = 5.0, 0.5
#: A subscription is disabled after so many failures in a row, over at least so many seconds.
TOO_MANY, TOO_LONG = 50, 3600.0

STRUCTURED = "application/cloudevents+json"


class PostOffice:
    """Sends what is due for as long as it is open; `direct_url` is for LISTEN."""

    def __init__(
        self,
        database: Database,
        direct_url: str,
        outbound: Outbound,
        meter: Meter | None = None,
    ) -> None:
        self._meter = meter or Meter()
        self._database = database
        self._outbound = outbound
        self._bell = Listener(direct_url, CHANNEL)
        self._sending: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Begin, unless it has begun."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="post", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Take nothing more; what is being sent is sent again by others if it does not end."""
        self._closed.set()
        self._bell.ring()
        if self._thread is None:
            self._bell.close()
        else:
            self._thread.join(2.0)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._bell.wait(self.look())
            except DatabaseUnavailable as error:
                log.warning("Postgres is away", action="post_waits", error=str(error))
                self._closed.wait(AWAY)
            except Exception:
                log.exception("Deliveries can't be sent; trying again", action="post_failed")
                self._closed.wait(LOOK)
        self._bell.close()

    def look(self) -> float:
        """Begin to send what is due; returns when to look again, in s."""
        with self._lock:
            free = AT_ONCE - self._sending.total()
            busy = [id for id, count in self._sending.items() if count >= EACH]
        if free <= 0:
            return LOOK
        claimed = deliveries.claim(self._database, free, busy, EACH, LEASE)
        for one in claimed:
            with self._lock:
                self._sending[one.subscription] += 1
            threading.Thread(target=self._one, args=(one,), name="delivery", daemon=True).start()
        if claimed:
            return 0.0
        due = deliveries.next_due(self._database)
        # What is due and was not claimed waits for a thread, or another beat has it.
        return LOOK if due is None else min(LOOK, due if due > 0 else 0.5)

    def _one(self, claimed: Claimed) -> None:
        try:
            self._settle(claimed, *self._sent(claimed))
        except (Busy, DatabaseUnavailable) as error:
            log.warning(
                "Nobody knows of a delivery; it is sent again", action="delivery_unknown",
                delivery=claimed.id, error=str(error),
            )  # fmt: skip
        except Exception:
            log.exception("A delivery failed", action="delivery_failed", delivery=claimed.id)
        finally:
            with self._lock:
                self._sending[claimed.subscription] -= 1
            self._bell.ring()

    def _sent(self, claimed: Claimed) -> tuple[int | None, Verdict]:
        share = random.random()  # noqa: S311  no secret
        if claimed.event is None:
            return None, Verdict(False, error="the event has been forgotten")
        body = codec.encode(claimed.event)
        signed = headers(claimed.secret, claimed.id, int(clock.now().timestamp()), body)
        try:
            response = self._outbound.send(
                "POST",
                claimed.url,
                headers=[("Content-Type", STRUCTURED), *signed],
                content=body,
                timeout=PATIENCE,
            )
        except OutboundError as error:
            why = f"{type(error).__name__}: {error}"[:500]
            return None, Verdict(False, backoff(claimed.attempt, share), error=why)
        return response.status, verdict(response.status, response.headers, claimed.attempt, share)

    def _settle(self, claimed: Claimed, status: int | None, result: Verdict) -> None:
        self._meter.count(metrics.DELIVERIES, ("arrived" if result.arrived else "missed",))
        with self._database.transaction() as cursor:
            if result.arrived:
                if deliveries.arrived(cursor, claimed, status or 0):
                    subscriptions.succeeded(cursor, claimed.subscription)
                return
            error = result.error or ""
            if not deliveries.missed(cursor, claimed, status, error, result.wait):
                return
            many = subscriptions.failed(cursor, claimed.subscription, TOO_MANY, TOO_LONG)
            if result.gone or many:
                subscriptions.disable(cursor, claimed.subscription, error)
                log.warning(
                    "A subscription is disabled", action="subscription_disabled",
                    subscription=claimed.subscription, reason=error,
                )  # fmt: skip
