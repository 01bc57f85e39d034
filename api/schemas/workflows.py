"""Workflows: deployed documents."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.schemas.common import NAMESPACE, ErrorItemSchema, PageSchema, time
from api.schemas.graphs import GraphSchema


class DeployQuerySchema(Schema):
    """Options of a deployment."""

    dry_run = fields.Boolean(
        load_default=False, metadata={"description": "only validate; nothing is stored"}
    )
    strict = fields.Boolean(
        load_default=False, metadata={"description": "refuse a document with warnings"}
    )


class VersionSchema(Schema):
    """A version of a workflow."""

    namespace = fields.String(required=True)
    name = fields.String(required=True)
    version = fields.String(required=True)
    digest = fields.String(
        required=True, metadata={"description": "SHA-256 of the document in canonical form"}
    )
    created_at = time(required=True)


class DeployedSchema(VersionSchema):
    """The result of a deployment."""

    outcome = fields.String(
        required=True,
        validate=validate.OneOf(("created", "unchanged", "conflict")),
        metadata={"description": "with `dry_run`: the outcome of a real deployment"},
    )
    created_at = time(required=True, allow_none=True)
    warnings = fields.List(fields.Nested(ErrorItemSchema), required=True)
    graph = fields.Nested(GraphSchema, metadata={"description": "only with `dry_run`"})


class WorkflowSchema(VersionSchema):
    """A version with its document."""

    document = fields.Dict(required=True)
    warnings = fields.List(fields.Nested(ErrorItemSchema), required=True)


class ListedWorkflowSchema(Schema):
    """A workflow with its newest version."""

    namespace = fields.String(required=True)
    name = fields.String(required=True)
    version = fields.String(required=True)
    title = fields.String(required=True, allow_none=True)
    summary = fields.String(required=True, allow_none=True)
    created_at = time(required=True)


class WorkflowsSchema(Schema):
    """A page of workflows."""

    items = fields.List(fields.Nested(ListedWorkflowSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class VersionsSchema(Schema):
    """Every version of a workflow, newest first."""

    items = fields.List(fields.Nested(VersionSchema), required=True)
    next = fields.String(required=True, allow_none=True)


class WorkflowsQuerySchema(PageSchema):
    """A filter of workflows."""

    namespace = fields.String(validate=validate.Regexp(NAMESPACE))
    q = fields.String(
        validate=validate.Length(1, 255), metadata={"description": "part of the name"}
    )
