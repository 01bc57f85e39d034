"""How many requests a key may make: counted in the broker's Redis, so that all processes of
the API count together; by each for itself where there is none, or while it is away.

The count is one number a key (GCRA, the generic cell rate algorithm): the time at which the
requests made so far would be over if they came at the allowed rate. One round trip a request.
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

#: A counter that is slow to reach must not slow the requests that it counts, in seconds.
_TIMEOUT = 0.1
#: How long Redis is left alone once it has failed, in seconds.
_PAUSE = 5.0
#: Keys that one process counts for itself.
_MOST = 10_000
_PREFIX = "orchestrator:rate:"

_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local over = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + ARGV[1]
local late = over - now - ARGV[2]
if late > 0 then return tostring(late) end
redis.call('SET', KEYS[1], string.format('%.6f', over), 'PX', math.ceil((over - now) * 1000))
return '0'
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests a second that a key may make in the long run, and how many at once."""

    per_second: float = 1000.0
    burst: int = 2000

    @classmethod
    def of(cls, per_second: float) -> Rate:
        """So many in the long run, and those of two seconds at once; 0: any number."""
        return cls(per_second, max(1, int(per_second * 2)))


class RateLimiter:
    """Counts requests by whose they are."""

    def __init__(self, rate: Rate, broker_url: str) -> None:
        self._counts = rate.per_second > 0
        self._interval = 1 / rate.per_second if self._counts else 0.0
        self._room = rate.burst * self._interval
        self._url = broker_settings(broker_url)["broker_url"] if is_redis(broker_url) else None
        self._script: Any = None
        self._away_until = 0.0
        self._over: dict[str, float] = {}
        self._lock = threading.Lock()

    def count(self, whose: str) -> None:
        """Count a request. Raises `Problem` 429 where it is one too many."""
        if not self._counts:
            return
        late = self._count_shared(whose)
        if late is None:
            late = self._count_local(whose)
        if late > 0:
            headers = {"Retry-After": str(math.ceil(late))}
            raise Problem(
                problem_types.TOO_MANY, "the key makes requests too fast", headers=headers
            )

    def _count_shared(self, whose: str) -> float | None:
        """How many seconds too early the request comes; None: Redis can't tell."""
        if self._url is None or clock.monotonic() < self._away_until:
            return None
        import redis  # an eighth of the time that the API takes to start, were it at the top

        try:
            found = self._registered()(keys=[_PREFIX + whose], args=[self._interval, self._room])
        except redis.RedisError as error:
            self._away_until = clock.monotonic() + _PAUSE
            log.warning(
                "Redis does not count requests; each process counts its own",
                action="rate_limit_alone",
                error=repr(error),
            )
            return None
        return float(found)

    def _registered(self) -> Any:
        import redis

        if self._script is None:
            client = redis.Redis.from_url(
                self._url or "", socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT
            )
            self._script = client.register_script(_SCRIPT)
        return self._script

    def _count_local(self, whose: str) -> float:
        now = clock.monotonic()
        with self._lock:
            over = max(self._over.get(whose, 0.0), now) + self._interval
            late = over - now - self._room
            if late <= 0:
                if len(self._over) >= _MOST:
                    self._over.clear()
                self._over[whose] = over
        return late
