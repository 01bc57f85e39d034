"""Shell completion with the names that the API has at that moment.

Completion never disturbs: without an API, or without a key for it, nothing is offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from orchestrator.client.transport import Transport
from orchestrator.errors import OrchestratorError
from orchestrator.settings import load_settings

#: How long a person waits for an offer, in seconds, and how much is offered.
PATIENCE = 2.0
MOST = 50

Suggestion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
Description = tuple[str, str]


def _offers(path: str, tell: Callable[[Mapping[str, Any]], Description]) -> Suggestion:
    """Offers what a list of the API has; `tell` gives a name and what to say of it."""

    def offer(
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG001 (as click calls it)
        incomplete: str,
    ) -> list[CompletionItem]:
        found = dict(map(tell, _items(ctx, path)))
        return [
            CompletionItem(name, help=meaning)
            for name, meaning in found.items()
            if name.startswith(incomplete)
        ]

    return offer


def _items(ctx: click.Context, path: str) -> Iterable[Mapping[str, Any]]:
    try:
        settings = load_settings()
        url = ctx.find_root().params.get("url") or ctx.params.get("url") or settings.api_url
        key = ctx.find_root().params.get("key") or settings.api_key
        transport = Transport(url, key, PATIENCE, pauses=())
        answer = transport.json("GET", path, params={"limit": MOST})
        items: list[Mapping[str, Any]] = answer["items"]
    except (OrchestratorError, LookupError, TypeError):
        return []
    transport.close()
    return items


instances = _offers(
    "/v1/instances", lambda each: (each["id"], f"{each['workflow']['name']} {each['status']}")
)
workflows = _offers(
    "/v1/workflows", lambda each: (f"{each['namespace']}/{each['name']}", each["version"])
)
dead_letters = _offers(
    "/v1/dead-letters?resolved=false", lambda each: (each["id"], str(each.get("reason")))
)
schedules = _offers(
    "/v1/schedules",
    lambda each: (f"{each['namespace']}/{each['workflow']}", f"{each['kind']} {each['state']}"),
)


def workflows_or_files(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The names of workflows; files, where the text is not the beginning of one."""
    found = workflows(ctx, param, incomplete)
    return found or [CompletionItem(incomplete, type="file")]


#: The argument of a command about one instance.
instance_id = click.argument("id", shell_complete=instances)
