"""The tasks of a workflow version, or of an instance, as nested blocks: what a picture is made
from."""

from __future__ import annotations

from flask import Response

from api.http.app_state import state
from api.http.resource_blueprint import Resource, respond
from api.resources import instances, workflows
from api.schemas.graphs import GraphSchema, InstanceGraphSchema
from orchestrator import json_codec
from orchestrator.database.instances import step_queries
from orchestrator.document import graph
from orchestrator.document.model import Workflow

blueprint = Resource("graphs", __name__, url_prefix="/v1", description="Workflows as pictures.")


@blueprint.route("/workflows/<namespace>/<name>/versions/<version>/graph")
@blueprint.answers(200, GraphSchema)
def of_version(namespace: str, name: str, version: str) -> Response:
    """The tasks of a version as nested blocks

    Each has the JSON pointer of its task, and its compensation as `undo`.
    """
    return respond({"nodes": _nodes(namespace, name, version)})


@blueprint.route("/instances/<id:id>/graph")
@blueprint.answers(200, InstanceGraphSchema)
def of_instance(id: str) -> Response:
    """The tasks of an instance as nested blocks, with the statuses of their steps"""
    found = instances.find(id)
    nodes = _nodes(found.namespace, found.workflow, found.version)
    return respond(
        {"nodes": nodes, "states": step_queries.states(state().services.database, found.id)}
    )


def _nodes(namespace: str, name: str, version: str) -> list[graph.Block]:
    document = workflows.find(namespace, name, version).document
    return graph.blocks(Workflow(json_codec.loads(document or "{}")))
