"""Limits the request rate of each key.

Requests are counted in the broker's Redis, shared by all API processes. Without Redis, or while
it cannot be reached, each process counts its own requests. A key's count is one number (GCRA,
the generic cell rate algorithm): the time at which its requests so far would end at the allowed
rate. A request costs one round trip.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any

from api.http import problem_types
from api.http.problems import Problem
from orchestrator import clock
from orchestrator.broker_settings import broker_settings, is_redis
from orchestrator.log import get_logger

log = get_logger(__name__)

#: Seconds after which Redis counts as unavailable: it must not slow the requests that it counts.
_TIMEOUT = 0.1
#: Seconds without a call to Redis after it has failed.
_OUTAGE_DELAY = 5.0
#: Keys that one process counts locally; at the bound the counts are cleared.
_MAX_LOCAL = 10_000
_PREFIX = "orchestrator:rate:"

_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local over = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + ARGV[1]
local early = over - now - ARGV[2]
if early > 0 then return tostring(early) end
redis.call('SET', KEYS[1], string.format('%.6f', over), 'PX', math.ceil((over - now) * 1000))
return '0'
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """The requests per second that a key may make in the long run, and the most at once.
    0 means no limit."""

    per_second: float = 1000.0
    burst: int = 2000


class RateLimiter:
    """Counts requests by owner of the key."""

    def __init__(self, rate: Rate, broker_url: str) -> None:
        self._is_limited = rate.per_second > 0
        self._interval = 1 / rate.per_second if self._is_limited else 0.0
        self._burst_time = rate.burst * self._interval
        self._url = broker_settings(broker_url)["broker_url"] if is_redis(broker_url) else None
        self._script: Any = None
        self._retry_at = 0.0
        self._over: dict[str, float] = {}
        self._lock = threading.Lock()

    def count(self, owner: str) -> None:
        """Count a request. Raises `Problem` 429 if it exceeds the rate."""
        if not self._is_limited:
            return
        early = self._count_shared(owner)
        if early is None:
            early = self._count_local(owner)
        if early > 0:
            headers = {"Retry-After": str(math.ceil(early))}
            raise Problem(
                problem_types.TOO_MANY, "the key makes requests too fast", headers=headers
            )

    def _count_shared(self, owner: str) -> float | None:
        """Return the seconds by which the request is too early, or None without Redis."""
        if self._url is None or clock.monotonic() < self._retry_at:
            return None
        import redis  # imported late: it would take an eighth of the API's start

        try:
            early = self._registered()(
                keys=[_PREFIX + owner], args=[self._interval, self._burst_time]
            )
        except redis.RedisError as error:
            self._retry_at = clock.monotonic() + _OUTAGE_DELAY
            log.warning(
                "Redis cannot count requests; each process counts its own",
                action="rate_limit_local",
                error=repr(error),
            )
            return None
        return float(early)

    def _registered(self) -> Any:
        import redis

        if self._script is None:
            client = redis.Redis.from_url(
                self._url or "", socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT
            )
            self._script = client.register_script(_SCRIPT)
        return self._script

    def _count_local(self, owner: str) -> float:
        now = clock.monotonic()
        with self._lock:
            over = max(self._over.get(owner, 0.0), now) + self._interval
            early = over - now - self._burst_time
            if early <= 0:
                if len(self._over) >= _MAX_LOCAL:
                    self._over.clear()
                self._over[owner] = over
        return early
