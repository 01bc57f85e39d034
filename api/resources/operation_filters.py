"""Filters of bulk operations: those of the list of instances, or two of dead letters."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError

from api.http import filter_query, problem_types
from api.http.app_state import scope, state
from api.http.problems import Problem
from api.http.query_parser import first_message
from api.schemas.bulk_operations import DeadLettersFilterSchema
from api.schemas.instances import InstancesFilterSchema
from orchestrator.database.instances.instance_filters import namespaces_of
from orchestrator.database.keyset_pages import Scope
from orchestrator.database.operations.bulk_operation_queries import LETTERS
from orchestrator.scheduler.bulk_operations import filter_to_json


def stored_filter(action: str, filter: dict[str, str]) -> tuple[Scope, Any]:
    """Return the namespaces that an operation may reach, and its filter as it is stored.

    Raises `Problem` 404 for a namespace of other callers, 422.
    """
    if action in LETTERS:
        of_letters = _loaded(DeadLettersFilterSchema, filter)
        instance = str(of_letters["instance"]) if "instance" in of_letters else None
        namespace = of_letters.get("namespace")
        allowed = scope(namespace)
        reaches = allowed if namespace is None else Scope((namespace,))
        return reaches, {"instance": instance, "namespace": namespace}
    try:
        of_schema, dynamic = filter_query.split(filter)
    except filter_query.WrongFilter as error:
        raise _invalid({error.name: str(error)}) from None
    selection = filter_query.selection(
        _loaded(InstancesFilterSchema, of_schema), dynamic, state().services.settings.lease
    )
    allowed = scope(selection.namespace)
    reached = namespaces_of(allowed, selection)
    # A filter whose conditions contradict each other reaches no namespace. Then store the caller's
    # namespaces, so that the operation still belongs to these.
    return Scope(tuple(reached) if reached else allowed.namespaces), filter_to_json(selection)


def _loaded(schema: type[Schema], filter: dict[str, str]) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = schema().load(filter)
    except ValidationError as error:
        messages = error.normalized_messages()  # type: ignore[no-untyped-call]
        raise _invalid({name: first_message(text) for name, text in messages.items()}) from None
    return loaded


def _invalid(messages: dict[str, str]) -> Problem:
    errors = [
        {"pointer": "/filter/" + name.replace("~", "~0").replace("/", "~1"), "message": message}
        for name, message in messages.items()
    ]
    name, message = next(iter(messages.items()))
    return Problem(problem_types.INVALID, f"filter: {name[:100]}: {message}", errors)
