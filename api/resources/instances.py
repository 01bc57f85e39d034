"""``/v1/instances``: start, list, read and wait for instances."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from flask import Response, g, request

from api.http import filter_query, idempotency, page_cursors, prefer_wait, problem_types
from api.http.app_state import caller, key_check, scope, state
from api.http.problems import Problem
from api.http.request_body import json_body
from api.http.resource_blueprint import Resource, listing, respond
from api.resources import instance_start, instance_summaries, serializers, submitted_start
from api.schemas.instances import (
    STARTED,
    CountsQuerySchema,
    CountsSchema,
    InstanceSchema,
    InstancesQuerySchema,
    InstancesSchema,
    StartSchema,
    WaitSchema,
)
from orchestrator.database.instances import (
    instance_facets,
    instance_lists,
    step_queries,
)
from orchestrator.database.instances.command_queries import Target
from orchestrator.database.instances.instance_facets import Facet
from orchestrator.database.instances.instance_filters import Filter
from orchestrator.database.instances.instance_queries import InstanceWithPayloads, Summary

_ID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

#: The most instances that one request may start.
MAX_STARTS = 1000

blueprint = Resource(
    "instances", __name__, url_prefix="/v1/instances", description="Executions of workflows."
)


@blueprint.route("", methods=["POST"])
@blueprint.answers(202, STARTED, Location="where the instance is")
@blueprint.answers(200, InstanceSchema, Preference_Applied="`wait`, if it was requested")
@json_body(StartSchema, many=MAX_STARTS)
def start(body: Any) -> Response:
    """Start an instance, or up to 1,000 of them

    All of an array are started, or none. With `Prefer: wait=N` the answer to a single start
    is the instance once it is final, or after N seconds (at most 60): 200 if it is final, 202
    if not. A `business_id` in use is a 409 with the `Location` of its instance.
    """
    started = instance_start.start(body)
    if started.first:
        state().hints.send(*started.ids)
    seconds = prefer_wait.wait()
    if seconds is None or isinstance(body, list):
        return idempotency.respond_recorded(started.answer, replayed=not started.first)
    return _waited(started, seconds)


def _waited(started: instance_start.Started, seconds: float) -> Response:
    id = started.ids[0]
    _wait_until_final(id, seconds)
    found = find(id)
    headers = {**started.answer.headers, "Preference-Applied": f"wait={seconds:g}"}
    if not started.first:
        headers |= idempotency.REPLAYED
    return respond(_instance(found), 200 if found.is_final else 202, headers)


@blueprint.route("")
@blueprint.answers(200, InstancesSchema)
@blueprint.requires(InstancesQuerySchema)
def list_(query: dict[str, Any]) -> Response:
    """Instances, newest first

    Besides the parameters shown, `label.key=value` selects by a label, and `input.path=value`
    by a member of the input: `input.customer.id=7`, `input.items[].sku=b-7`. A value matches
    text and, if it is one, a number, `true`, `false` or `null`; in double quotes text only.
    Several such parameters may be combined.
    """
    rows, last = _page(query)
    items = instance_summaries.summaries_json([Summary(*row[2:]) for row in rows])
    return listing(items, page_cursors.write(last))


def _page(query: dict[str, Any]) -> tuple[list[Any], list[Any] | None]:
    """Return the rows of a page of instances, and the values of the last one."""
    database, allowed = state().services.database, scope(query.get("namespace"))
    chosen = _selection(query)
    after = (page_cursors.moment, page_cursors.id)
    if query["sort"] == "attention":
        page = instance_lists.by_attention(
            database,
            allowed,
            chosen,
            limit=query["limit"],
            after=page_cursors.read(query["cursor"], (page_cursors.number, *after)),
        )
    else:
        page = instance_lists.listed(
            database,
            allowed,
            chosen,
            by=query["sort"].removeprefix("-"),
            descending=query["sort"].startswith("-"),
            limit=query["limit"],
            after=page_cursors.read(query["cursor"], after),
        )
    return page.rows, page.last


def _selection(query: dict[str, Any]) -> Filter:
    return filter_query.selection(query, g.dynamic_filters, state().services.settings.lease)


@blueprint.route("/counts")
@blueprint.answers(200, CountsSchema)
@blueprint.requires(CountsQuerySchema)
def counts(query: dict[str, Any]) -> Response:
    """How many instances have each status

    At most 10,000 instances of each status are counted, 1,000 with labels, so that millions do
    not slow the answer. The filters are those of the list. `facets` adds the numbers of instances
    by what they wait for, by what a person should look at, and so on, up to 1,000 of each value.
    """
    database, allowed = state().services.database, scope(query.get("namespace"))
    chosen = _selection(query)
    found = instance_lists.count_by_status(database, allowed, chosen)
    answer: dict[str, Any] = {"items": [asdict(each) for each in found]}
    if query["facets"]:
        facets = instance_facets.counted(database, allowed, chosen, query["facets"])
        answer["facets"] = {
            name: [_facet_json(each) for each in values] for name, values in facets.items()
        }
    return respond(answer)


def _facet_json(facet: Facet) -> dict[str, Any]:
    value = {"value": facet.value, "count": facet.count, "exact": facet.exact}
    return value if facet.title is None else {**value, "title": facet.title}


@blueprint.route("/<id:id>")
@blueprint.answers(
    200, InstanceSchema, ETag="changes with every transition and every pending command"
)
@blueprint.answers(304, meaning="Not changed since the ETag in If-None-Match", ETag="the same")
@blueprint.requires(WaitSchema)
def get(query: dict[str, Any], id: str) -> Response:
    """An instance

    With `wait` (or `Prefer: wait=N`) the answer comes once it is final, or after so many seconds
    with its state at that time.
    """
    found = find(id)
    seconds = query["wait"] or prefer_wait.wait() or 0
    if seconds and not found.is_final:
        _wait_until_final(id, seconds)
        found = find(id)
    tag = etag(found)
    if tag in request.if_none_match:
        return Response(status=304, headers={"ETag": f'"{tag}"'})
    value = {**_instance(found), **instance_summaries.standing_json(found)}
    return respond(value, headers={"ETag": f'"{tag}"'})


def _wait_until_final(id: str, seconds: float) -> None:
    """Wait. Raises `Problem` 401 where the caller's key was revoked meanwhile, or has expired."""
    is_valid = key_check()
    state().waiters.wait_until_final(id, seconds, caller().owner, is_valid)
    if not is_valid():
        raise Problem(problem_types.UNAUTHENTICATED)


def find(id: str) -> InstanceWithPayloads:
    """Return the instance with an id from the path. Raises `Problem` 400, 404, 422."""
    return submitted_start.find(identified(id))


def identified(id: str) -> str:
    """Return an id from the path in lower case. Raises `Problem` 400, 422 if it is not one."""
    if len(id) > 1000:
        raise Problem(problem_types.INVALID, "the id is longer than 1,000 characters")
    if not _ID.fullmatch(id):
        raise Problem(problem_types.INVALID_ID, "ids are UUIDs, in lower case and with hyphens")
    return id.lower()


def _instance(found: InstanceWithPayloads) -> dict[str, Any]:
    waiting = [] if found.is_final else step_queries.waiting(state().services.database, found.id)
    return serializers.instance_json(found, waiting)


def etag(found: InstanceWithPayloads | Target) -> str:
    """Return the tag, which changes only with transitions and pending commands."""
    return f"{found.run}-{found.sequence}-{found.pending}"
