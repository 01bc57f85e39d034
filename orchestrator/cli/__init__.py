"""The command line, `orchestrator`: one module a group of commands.

Data goes to stdout, progress and errors to stderr; exit statuses are in `exits`.
"""

from __future__ import annotations

import click

from orchestrator.cli.group import LazyGroup
from orchestrator.cli.options import Shared, shared_options

_HERE = "orchestrator.cli"


@click.group(
    "orchestrator",  # by this name Celery and Flask mount it
    cls=LazyGroup,
    commands_at={
        "dev": f"{_HERE}.dev:dev",
        "demo": f"{_HERE}.demo:demo",
        "api": f"{_HERE}.processes:api",
        "worker": f"{_HERE}.processes:worker",
        "beat": f"{_HERE}.processes:beat",
        "db": f"{_HERE}.database:db",
        "init": f"{_HERE}.init:init",
        "validate": f"{_HERE}.documents:validate",
        "deploy": f"{_HERE}.documents:deploy",
        "workflow": f"{_HERE}.workflows:workflow",
        "run": f"{_HERE}.start:run",
        "start": f"{_HERE}.start:start",
        "list": f"{_HERE}.look:list_instances",
        "show": f"{_HERE}.look:show",
        "history": f"{_HERE}.look:history",
        "watch": f"{_HERE}.look:watch",
        "suspend": f"{_HERE}.control:suspend",
        "resume": f"{_HERE}.control:resume",
        "cancel": f"{_HERE}.control:cancel",
        "terminate": f"{_HERE}.control:terminate",
        "retry": f"{_HERE}.control:retry",
        "compensate": f"{_HERE}.control:compensate",
        "skip": f"{_HERE}.control:skip",
        "graph": f"{_HERE}.graph:graph",
        "event": f"{_HERE}.events:event",
        "subscription": f"{_HERE}.subscriptions:subscription",
        "dead-letter": f"{_HERE}.letters:dead_letter",
        "operation": f"{_HERE}.operations:operation",
        "queue": f"{_HERE}.workers:queue",
        "schedule": f"{_HERE}.schedule:schedule",
        "secret": f"{_HERE}.secrets:secret",
        "key": f"{_HERE}.keys:key",
        "why": f"{_HERE}.why:why",
        "logs": f"{_HERE}.instance_logs:logs",
        "doctor": f"{_HERE}.doctor:doctor",
        "openapi": f"{_HERE}.reference:openapi",
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="celery-orchestrator", message="%(version)s")
@shared_options
def main(shared: Shared) -> None:
    """Durable workflows on Celery.

    Begin with `orchestrator demo` to see it at work, or `orchestrator dev` to run everything
    in one terminal. The exit status tells how a workflow ended: 0 completed, 1 faulted,
    7 cancelled, 8 faulted and compensated; 2 usage, 3 not found, 4 not allowed,
    5 unreachable, 6 wait timed out.
    """
