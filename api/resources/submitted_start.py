"""Instances whose start was submitted in another application's transaction.

That application knows the id before its commit. Right after it, a request may name an instance that
no beat has moved out of the outbox yet: the request moves it itself, and finds it.
"""

from __future__ import annotations

from api.http import problem_types
from api.http.app_state import scope, state
from api.http.problems import Problem
from orchestrator import json_codec
from orchestrator.database.instances import instance_queries, outbox_queries
from orchestrator.database.instances.instance_queries import InstanceWithPayloads


def find(id: str) -> InstanceWithPayloads:
    """Return an instance; start it first if its start stands in the outbox.

    Raises `Problem` 404, which names the dead letter if the start was refused.
    """
    database = state().services.database
    found = instance_queries.get(database, id, scope())
    if found is None:
        start(id)
        # Read the instance again even if `start` found no row in the outbox. A beat may have taken
        # the row after the first read and started the instance.
        found = instance_queries.get(database, id, scope())
    if found is None:
        raise Problem(problem_types.NOT_FOUND, _missing(id))
    return found


def start(id: str) -> None:
    """Start the instance of this id if its start stands in the outbox."""
    app = state()
    if outbox_queries.exists(app.services.database, id):
        app.hints.send(*app.outbox.move_one(id, scope()).instances)


def _missing(id: str) -> str:
    refused = outbox_queries.refusal_of(state().services.database, id, scope())
    if refused is None:
        return f"there is no instance {id}"
    dead_letter, error = refused
    detail = json_codec.loads(error)["detail"]
    return f"the start of {id} was refused: {detail} (dead letter {dead_letter})"
