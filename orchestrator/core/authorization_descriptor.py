"""``$authorization``: how a task's call is authorized (dsl.md, Authorization Descriptor)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from orchestrator.core.document_arguments import policy_in_authored_structure
from orchestrator.core.draft_nodes import Node
from orchestrator.core.expression_evaluation import check_size, evaluate
from orchestrator.core.expression_template import Template
from orchestrator.core.model import Json
from orchestrator.core.transition_draft import Draft

#: The scheme in the Authorization header of each kind of authentication.
_SCHEMES = {
    "basic": "Basic",
    "bearer": "Bearer",
    "digest": "Digest",
    "oauth2": "Bearer",
    "oidc": "Bearer",
}


Collect = Callable[[Draft, Node | None, Iterable[str], Mapping[str, Json]], dict[str, Json]]
"""Returns the variables that an expression names: `expression_variables.collect`."""


def descriptor(draft: Draft, node: Node | None, collect: Collect) -> Json:
    """Return ``{scheme, parameter}``; None if the call has no authentication. `parameter` is None
    if only the worker knows the credentials: they are in a secret, or come from a token endpoint.
    """
    authentication = _policy(draft, node)
    scheme = next((name for name in _SCHEMES if name in (authentication or {})), None)
    if authentication is None or node is None or scheme is None:
        return None
    return {
        "scheme": _SCHEMES[scheme],
        "parameter": _parameter(draft, node, authentication, scheme, collect),
    }


def _parameter(
    draft: Draft, node: Node, authentication: dict[str, Any], scheme: str, collect: Collect
) -> Json:
    template = Template(authentication)
    if template.names() & {"secrets", "secret"}:
        return None
    rendered = template.render(
        lambda expression: evaluate(
            draft, expression, node.input, collect(draft, node, expression.names, {})
        )
    )
    value = policy_in_authored_structure(authentication, check_size(draft, rendered))[scheme]
    if not isinstance(value, dict):
        return None
    if scheme == "basic" and {"username", "password"} <= value.keys():
        pair = f"{value['username']}:{value['password']}"
        return b64encode(pair.encode()).decode()
    return value.get("token") if scheme == "bearer" else None


def _policy(draft: Draft, node: Node | None) -> dict[str, Any] | None:
    if node is None:
        return None
    arguments = draft.plan_of(node).task.body.get("with")
    if not isinstance(arguments, Mapping):
        return None
    endpoint = arguments.get("endpoint")
    authentication = arguments.get("authentication")
    if authentication is None and isinstance(endpoint, Mapping):
        authentication = endpoint.get("authentication")
    if isinstance(authentication, Mapping) and "use" in authentication:
        authentication = (draft.workflow.use.get("authentications") or {}).get(
            authentication["use"]
        )
    return dict(authentication) if isinstance(authentication, Mapping) else None
