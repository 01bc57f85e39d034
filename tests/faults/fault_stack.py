"""The environment of the fault runs: servers, processes, a load, a ledger."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import httpx2
import psutil
import psycopg2
import redis

from orchestrator.database.schema import upgrade
from orchestrator.embedded import Postgres, Valkey
from orchestrator.embedded.supervisor import Process, ProcessFailed, http_ok, log_says
from tests.faults import audit
from tests.faults.documents import Body, signal
from tests.faults.proxy import Proxy
from tests.support.rabbitmq import RabbitMQ
from tests.support.stack import Stack, free_port

APP = "tests.celery_apps.chaos"
#: Workflows that are started with one request.
BATCH = 25
#: Until a process is ready, on however busy a machine, in s.
READY = 180.0

_numbers = itertools.count()


class Ground:
    """One installation of the product on servers that rows share. Every process restarts when it
    dies."""

    def __init__(
        self,
        folder: Path,
        postgres: Postgres,
        broker: Valkey | RabbitMQ,
        *,
        workers: int = 2,
        concurrency: int = 2,
        beats: int = 1,
        through_proxy: bool = False,
        broker_through_proxy: bool = False,
        env: Mapping[str, str] | None = None,
        make: Callable[[Path], Mapping[str, str]] | None = None,
        api_pool: int = 5,
        forgets: bool = False,
        **settings: Any,
    ) -> None:
        self.folder = folder
        self.postgres, self.broker = postgres, broker
        self.ledger = folder / "ledger.jsonl"
        #: The instances that a client was told of, each with the end that it must come to.
        self.told: dict[str, tuple[str, str]] = {}
        #: When which process was killed, by its id; and what else the strikes note down.
        self.killed: dict[int, float] = {}
        self.took: list[float] = []
        self.notes: dict[str, Any] = {}
        self.seen = 0
        #: Instances that have ended, as of the last look.
        self.ended = 0
        #: What a row has put up besides.
        self.beside = ExitStack()
        #: A backup may be restored: then what was told may be gone.
        self._forgets, self._forgotten = forgets, False
        self._api_pool = api_pool
        #: Of an answer, or of the wait for one that didn't come, in s.
        self.slowest_answer = 0.0
        #: Requests that were not taken; those of them answered 503, and those never answered.
        self.refused = 0
        self.unavailable = 0
        self.hung = 0
        self._port = free_port()
        url, broker_url = self._database(), empty(broker)
        self.direct_url = url
        self.proxy: Proxy | None = None
        self.broker_proxy: Proxy | None = None
        if through_proxy:
            self.proxy = Proxy(urlsplit(url).port or 5432)
            url = _at(url, self.proxy.port)
        if broker_through_proxy:
            self.broker_proxy = Proxy(urlsplit(broker_url).port or 6379)
            broker_url = _at(broker_url, self.broker_proxy.port)
        self.stack = Stack(folder, url, broker_url, **settings)
        self.stack.settings["api_url"] = f"http://127.0.0.1:{self._port}"
        made = make(folder) if make else {}
        self._env = {"CHAOS_LEDGER": str(self.ledger), **(env or {}), **made}
        self._workers, self._concurrency, self._beats = workers, concurrency, beats
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=10)

    def _database(self) -> str:
        name = f"chaos_{next(_numbers)}"
        connection = psycopg2.connect(self.postgres.url)
        connection.autocommit = True
        connection.cursor().execute(f"create database {name}")
        connection.close()
        url = self.postgres.url_of(name)
        upgrade.upgrade(url)
        return url

    def __enter__(self) -> Self:
        self.api = self.stack.spawn(
            "api",
            *("-m", "orchestrator.cli", "api"),
            env={
                **self._env,
                "ORCHESTRATOR_API_PORT": self._port,
                "ORCHESTRATOR_DATABASE_POOL": self._api_pool,
            },
            restart=True,
            tier=2,
        )
        self.beats = [self.start_beat(f"beat{n}") for n in range(self._beats)]
        self.workers = [self.start_worker(f"worker{n}") for n in range(self._workers)]
        self.api.wait_until(http_ok(f"http://127.0.0.1:{self._port}/livez"), READY)
        for beat in self.beats:
            beat.wait_until(log_says("beat: Starting"), READY)
        for worker in self.workers:
            worker.wait_until(log_says(" ready."), READY)
        #: Those that may be struck.
        self.victims = list(self.workers)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.stack.stop()
        self.beside.close()
        for proxy in (self.proxy, self.broker_proxy):
            if proxy is not None:
                proxy.close()

    def start_beat(self, name: str) -> Process:
        """Start a beat that restarts when it dies."""
        return self.stack.beat(name, APP, env=self._env, restart=True, ready=None)

    def start_worker(self, name: str, **env: str) -> Process:
        """Start a worker that restarts when it dies."""
        return self.stack.worker(
            name,
            APP,
            concurrency=self._concurrency,
            env={**self._env, **env},
            restart=True,
            ready=None,
        )

    # -- load --------------------------------------------------------------------------------

    def deploy(self, document: Body) -> Body:
        """Deploy a workflow; return the body that starts it."""
        self._ask("POST", "/v1/workflows", document, None, (200, 201))
        head = document["document"]
        return {"workflow": {name: head[name] for name in ("namespace", "name", "version")}}

    def subscribe(self, body: Body) -> None:
        """Have events sent to a webhook."""
        self._ask("POST", "/v1/subscriptions", body, "chaos-subscription", (201,))

    def start(self, body: Body, end: tuple[str, str], count: int, *, batch: int = BATCH) -> None:
        """Start instances, `batch` per request. A request without an answer is repeated with the
        same key."""
        if batch == 1:
            for _ in range(count):
                self.start_one(body, end)
            return
        while count > 0:
            size = min(count, batch)
            key = f"chaos-{next(_numbers)}"
            answer = self._ask("POST", "/v1/instances", [body] * size, key, (202,))
            self.told.update({one["id"]: end for one in answer})
            self._follow(body, [one["id"] for one in answer])
            count -= size

    def start_one(self, body: Body, end: tuple[str, str]) -> str:
        """Start one instance; return its id."""
        answer = self._ask("POST", "/v1/instances", body, f"chaos-{next(_numbers)}", (202,))
        self.told[answer["id"]] = end
        self._follow(body, [answer["id"]])
        return str(answer["id"])

    def _follow(self, body: Body, ids: Sequence[str]) -> None:
        """Do what a client does with the instances of some workflows after their start."""
        name = body["workflow"]["name"]
        for id in ids:
            if name == "signalled":  # 409: it was taken, unanswered, and the instance has ended
                self._ask("POST", f"/v1/instances/{id}/events", signal(id), None, (202, 409))
            elif name == "cancelled":
                self._ask("POST", f"/v1/instances/{id}/cancel", {}, f"cancel-{id}", (202,))

    def _ask(self, verb: str, path: str, body: Any, key: str | None, good: Sequence[int]) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        deadline = time.monotonic() + 120
        while True:
            began = time.monotonic()
            try:
                answer = self.client.request(verb, path, json=body, headers=headers)
                self._waited(began)
                if answer.status_code in good:
                    return answer.json()
                assert answer.status_code in (409, 503), answer.text
                self.unavailable += answer.status_code == 503
                self.refused += 1
            except httpx2.TimeoutException:
                self._waited(began)
                self.hung += 1
                self.refused += 1
            except httpx2.TransportError:  # refused, or cut off: that is known at once
                self.refused += 1
            assert time.monotonic() < deadline, f"no answer: {self.stack.logs()}"
            time.sleep(0.1)  # as a client would, before it asks again

    def look(self) -> None:
        """Send one request that needs the database; it may fail like those above."""
        began = time.monotonic()
        try:
            answer = self.client.get("/v1/instances", params={"limit": 1})
            self._waited(began)
            assert answer.status_code in (200, 503), answer.text
            self.unavailable += answer.status_code == 503
        except httpx2.TimeoutException:
            self._waited(began)
            self.hung += 1

    def _waited(self, began: float) -> None:
        self.slowest_answer = max(self.slowest_answer, time.monotonic() - began)

    # -- looking -----------------------------------------------------------------------------

    def sql(self, statement: str, *params: Any) -> list[tuple[Any, ...]]:
        """Return rows directly from the server, as soon as it answers."""
        deadline = time.monotonic() + 60
        while True:
            try:
                connection = psycopg2.connect(self.direct_url, connect_timeout=3)
                try:
                    connection.autocommit = True
                    with connection.cursor() as cursor:
                        cursor.execute(statement, params or None)
                        return cursor.fetchall() if cursor.description else []
                finally:
                    connection.close()
            except psycopg2.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)  # the server is being restarted

    def settled(self) -> int:
        """Return the number of final instances."""
        (row,) = self.sql(
            f"select count(*) from orchestrator.instances where status not in {audit.OPEN}"
            " and compensation <> 'running'"
        )
        self.ended = int(row[0])
        return self.ended

    def wait_for_progress(self, since: int, timeout: float) -> int:
        """Until another instance has ended, or for so long; how many have."""
        deadline = time.monotonic() + timeout
        while self.ended <= since and time.monotonic() < deadline:
            time.sleep(0.05)  # the load looks, this one waits for what it sees
        return self.ended

    def missing(self) -> int:
        """Return how many acknowledged instances have not ended, or do not exist."""
        if self._forgets:
            here = {id for (id,) in self.sql("select id::text from orchestrator.instances")}
            self.told = {id: end for id, end in self.told.items() if id in here}
        found = self.sql(
            "select count(*) from unnest(%s::uuid[]) t(id) join orchestrator.instances i"
            f" on i.id = t.id where i.status not in {audit.OPEN} and i.compensation <> 'running'",
            list(self.told),
        )
        return len(self.told) - int(found[0][0])

    def settle(self, timeout: float) -> None:
        """Wait until everything that was acknowledged has ended."""
        deadline = time.monotonic() + timeout
        while self.missing():
            if time.monotonic() > deadline:
                return
            time.sleep(0.2)  # between two looks

    def wrong_ends(self) -> list[tuple[str, str, str]]:
        """Return the instances with an unexpected end."""
        rows = self.sql("select id::text, status, compensation from orchestrator.instances")
        found = {row[0]: (row[1], row[2]) for row in rows}
        return [
            (id, *found.get(id, ("not there", "")))
            for id, end in self.told.items()
            if found.get(id) != end
        ]

    def problems(self) -> dict[str, Any]:
        """Return the audit's violations."""
        told = [] if self._forgets else list(self.told)
        found: dict[str, Any] = dict(audit.problems(self.sql, told, self.effects()))
        if self._forgotten:
            found.pop("I7 succeeded and never ran", None)  # it did, before the backup
        wrong = self.wrong_ends()
        if wrong:
            found["ends that had to be others"] = [len(wrong), *wrong[:3]]
        return found

    def logged(self, action: str) -> int:
        """Return how often a text is in the logs of the processes."""
        return sum(
            path.read_text(errors="replace").count(f'"action": "{action}"')
            for path in self.folder.glob("*.log")
        )

    def said(self, action: str) -> list[dict[str, Any]]:
        """Return the lines of the logs that contain a text."""
        mark = f'"action": "{action}"'
        return [
            json.loads(line[line.index("{") :])
            for path in self.folder.glob("*.log")
            for line in path.read_text(errors="replace").splitlines()
            if mark in line and line.endswith("}")
        ]

    def continued(self) -> int:
        """Return the number of continuations: attempts without a message."""
        ((count,),) = self.sql(
            "select count(*) from orchestrator.attempts"
            " where claimed_at is not null and publish_count = 0"
        )
        return int(count)

    def effects(self) -> list[dict[str, Any]]:
        """Return the ledger's lines."""
        return audit.effects(self.ledger)

    def forget_effects(self) -> None:
        """Clear the ledger: after a restore to an older state, later steps run again."""
        with suppress(FileNotFoundError):  # nothing has run yet
            self.ledger.replace(self.ledger.with_suffix(".old"))
        self._forgotten = True

    def memory(self) -> int:
        """Return the memory of the product's processes in bytes, counting shared pages once."""
        return sum(self.memory_of(one) for one in (self.api, *self.beats, *self.workers))

    def memory_of(self, process: Process) -> int:
        """Return the memory of a process and its descendants in bytes."""
        total = 0
        with suppress(ProcessFailed, psutil.NoSuchProcess):
            main = psutil.Process(process.pid)
            for one in (main, *main.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    total += one.memory_full_info().pss
        return total

    # -- fire --------------------------------------------------------------------------------

    def spare(self) -> None:
        """Exclude one worker from strikes."""
        self.spared, *self.victims = self.workers

    def children(self) -> list[psutil.Process]:
        """Return the pool processes of the workers that may be struck."""
        found = []
        for worker in self.victims:
            if worker.running:
                try:
                    found += psutil.Process(worker.pid).children()
                except psutil.Error:
                    continue
        return found


def empty(broker: Valkey | RabbitMQ) -> str:
    """Return the URL of an empty broker."""
    if isinstance(broker, RabbitMQ):
        return broker.fresh()
    with redis.Redis.from_url(broker.url) as client:
        client.flushall()
    return broker.url


def _at(url: str, port: int) -> str:
    """Return the same URL with another port."""
    parts = urlsplit(url)
    user = f"{parts.username or ''}:{parts.password}@" if parts.password else ""
    return urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{port}"))
