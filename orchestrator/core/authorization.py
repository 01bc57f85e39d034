"""``$authorization``: how a task's call is authorized (dsl.md, Authorization Descriptor)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.core.templates import Template
from orchestrator.core.values import Json

if TYPE_CHECKING:  # data and variables use this module
    from orchestrator.core.nodes import Node
    from orchestrator.core.work import Draft


def descriptor(draft: Draft, node: Node | None) -> Json:
    """``{scheme, parameter}`` where the task's authentication says both itself; None for
    every other: what a token endpoint gives is known to the worker alone, and what stands
    in a secret stays there."""
    policy = _policy(draft, node)
    if policy is None or node is None:
        return None
    from orchestrator.core.data import fill

    template = Template(policy)
    if template.names() & {"secrets", "secret"}:
        return None
    value = fill(draft, node, template, node.input)
    basic, bearer = value.get("basic"), value.get("bearer")
    if isinstance(basic, dict) and {"username", "password"} <= basic.keys():
        pair = f"{basic['username']}:{basic['password']}"
        return {"scheme": "Basic", "parameter": b64encode(pair.encode()).decode()}
    if isinstance(bearer, dict) and "token" in bearer:
        return {"scheme": "Bearer", "parameter": bearer["token"]}
    return None


def _policy(draft: Draft, node: Node | None) -> dict[str, Any] | None:
    if node is None:
        return None
    arguments = draft.plan_of(node).task.body.get("with")
    if not isinstance(arguments, Mapping):
        return None
    endpoint = arguments.get("endpoint")
    found = arguments.get("authentication")
    if found is None and isinstance(endpoint, Mapping):
        found = endpoint.get("authentication")
    if isinstance(found, Mapping) and "use" in found:
        found = (draft.workflow.use.get("authentications") or {}).get(found["use"])
    return dict(found) if isinstance(found, Mapping) else None
