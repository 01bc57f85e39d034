"""Moves starts out of a database that is not the orchestrator's: MySQL, SQLite, another Postgres.

`start_in` stores a row there, in the caller's transaction. The relay sends each row to the API and
deletes it. It may die in between: the row's id is the Idempotency-Key, and the `business_id` unless
the request has one, so that a repeated request starts nothing more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from orchestrator import json_codec
from orchestrator.client import ApiError, Client
from orchestrator.log import get_logger
from orchestrator.outbox import statements
from orchestrator.outbox.connections import Adapter, adapter_of

log = get_logger(__name__)

#: The most rows read at once.
BATCH = 100
#: Refusals of the request itself; any other answer says that the API can't take it now.
_FINAL = frozenset({400, 404, 409, 413, 422})
_IN_FLIGHT = "urn:celery-orchestrator:problem:idempotency-in-flight"
_TAKEN = "urn:celery-orchestrator:problem:business-id-in-use"


class Relay:
    """Sends the rows of one database to the API.

    `connect`: opens a connection, of any kind that `start_in` takes. `namespace`: of workflows that
    name none. Several relays of one database may run at once.
    """

    def __init__(
        self, connect: Callable[[], Any], client: Client, namespace: str = "default"
    ) -> None:
        self._connect = connect
        self._client = client
        self._namespace = namespace

    def run(self, stopped: threading.Event, interval: float = 1.0) -> None:
        """Move rows every `interval` seconds until `stopped` is set. After an error of the database
        or the API it goes on with the next round."""
        while not stopped.is_set():
            try:
                moved = self.move()
            except Exception:
                log.exception("The relay could not move its rows", action="relay_failed")
                moved = 0
            if moved < BATCH:
                stopped.wait(interval)

    def create_table(self, dialect: str) -> None:
        """Make the table unless it is there. Raises `ValueError` for an unknown dialect."""
        connection = self._connect()
        try:
            adapter = adapter_of(connection)
            adapter.execute(statements.create_table(dialect), (), read=False)
            adapter.commit()
        finally:
            connection.close()

    def move(self) -> int:
        """Move up to `BATCH` rows, the oldest first. Return how many.

        A refused row stays in the table with its `error`; setting that to null tries it again.
        Raises `ApiError` and `Unreachable` if the API can't take starts now.
        """
        connection = self._connect()
        try:
            adapter = adapter_of(connection)
            rows = adapter.rows(statements.OLDEST, (BATCH,))
            adapter.commit()  # no transaction stays open while the API answers
            for id, request in rows:
                self._send(adapter, str(id), request)
            return len(rows)
        finally:
            connection.close()

    def _send(self, adapter: Adapter, id: str, request: str) -> None:
        try:
            self._start(id, request)
        except (ApiError, json_codec.NotJson) as error:
            if isinstance(error, ApiError) and not _is_final(error):
                raise
            log.warning(
                "A start was refused and stays in its table",
                action="relay_refused",
                id=id,
                error=str(error),
            )
            adapter.execute(statements.REFUSE, (str(error)[:2000], id), read=False)
        else:
            adapter.execute(statements.DELETE, (id,), read=False)
        adapter.commit()

    def _start(self, id: str, request: str) -> None:
        """Start it, unless it was started before. Raises `ApiError`, `NotJson`, `Unreachable`."""
        body = json_codec.loads(request)
        if isinstance(body, dict) and isinstance(body.get("workflow"), dict):
            workflow = {"namespace": self._namespace, **body["workflow"]}
            body = {**body, "workflow": workflow, "business_id": body.get("business_id") or id}
        headers = {"Idempotency-Key": id, "Content-Type": "application/json"}
        try:
            self._client.transport.request(
                "POST", "/v1/instances", headers=headers, content=json_codec.encode(body)
            )
        except ApiError as error:
            # The instance's business id is this row's id, which no other start uses. So an earlier
            # try of this row has started it, and the API no longer has the answer recorded then:
            # count it as started.
            if error.problem.get("type") != _TAKEN or body["business_id"] != id:
                raise


def _is_final(error: ApiError) -> bool:
    return error.status in _FINAL and error.problem.get("type") != _IN_FLIGHT
