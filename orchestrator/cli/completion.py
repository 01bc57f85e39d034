"""Shell completion with the names of objects that the API has.

Completion prints no errors: without an API, or without a key for it, it suggests nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from orchestrator.client.synchronous.transport import Transport
from orchestrator.errors import OrchestratorError
from orchestrator.settings import load_settings

#: Timeout of a request for suggestions, in seconds.
TIMEOUT = 2.0
#: Largest number of suggestions.
MAX_SUGGESTIONS = 50

Suggestion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
Description = tuple[str, str]


def _suggestions(path: str, describe: Callable[[Mapping[str, Any]], Description]) -> Suggestion:
    """Suggest the items of a list of the API; `describe` returns an item's name and its help."""

    def suggest(
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG001 (as click calls it)
        incomplete: str,
    ) -> list[CompletionItem]:
        names = dict(map(describe, _items(ctx, path)))
        return [
            CompletionItem(name, help=meaning)
            for name, meaning in names.items()
            if name.startswith(incomplete)
        ]

    return suggest


def _items(ctx: click.Context, path: str) -> Iterable[Mapping[str, Any]]:
    try:
        settings = load_settings()
        url = ctx.find_root().params.get("url") or ctx.params.get("url") or settings.api_url
        key = ctx.find_root().params.get("key") or settings.api_key
        transport = Transport(url, key, TIMEOUT, pauses=())
        answer = transport.json("GET", path, params={"limit": MAX_SUGGESTIONS})
        items: list[Mapping[str, Any]] = answer["items"]
    except (OrchestratorError, LookupError, TypeError):
        return []
    transport.close()
    return items


instances = _suggestions(
    "/v1/instances", lambda each: (each["id"], f"{each['workflow']['name']} {each['status']}")
)
workflows = _suggestions(
    "/v1/workflows", lambda each: (f"{each['namespace']}/{each['name']}", each["version"])
)
dead_letters = _suggestions(
    "/v1/dead-letters?resolved=false", lambda each: (each["id"], str(each.get("reason")))
)
schedules = _suggestions(
    "/v1/schedules",
    lambda each: (f"{each['namespace']}/{each['workflow']}", f"{each['kind']} {each['state']}"),
)


def workflows_or_files(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Suggest the names of workflows, or files where no name begins with the text."""
    names = workflows(ctx, param, incomplete)
    return names or [CompletionItem(incomplete, type="file")]


#: The argument of a command about one instance.
instance_id = click.argument("id", shell_complete=instances)
