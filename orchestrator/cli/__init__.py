"""The command line, `orchestrator`: one module for each group of commands.

Data goes to stdout, progress and errors to stderr; exit statuses are in `exit_codes`.
"""

from __future__ import annotations

import click

from orchestrator.cli.lazy_group import LazyGroup
from orchestrator.cli.options import Shared, shared_options


@click.group(
    "orchestrator",  # the name under which Celery and Flask add it to their own command lines
    cls=LazyGroup,
    commands_at={
        "dev": "orchestrator.cli.dev.dev_command:dev",
        "demo": "orchestrator.cli.demo:demo",
        "api": "orchestrator.cli.server.server_processes:api",
        "worker": "orchestrator.cli.server.server_processes:worker",
        "beat": "orchestrator.cli.server.server_processes:beat",
        "db": "orchestrator.cli.server.database_commands:db",
        "init": "orchestrator.cli.commands.starter_project:init",
        "validate": "orchestrator.cli.commands.documents:validate",
        "deploy": "orchestrator.cli.commands.documents:deploy",
        "workflow": "orchestrator.cli.commands.workflows:workflow",
        "run": "orchestrator.cli.commands.instance_start:run",
        "start": "orchestrator.cli.commands.instance_start:start",
        "list": "orchestrator.cli.commands.instance_views:list_instances",
        "show": "orchestrator.cli.commands.instance_views:show",
        "history": "orchestrator.cli.commands.instance_views:history",
        "watch": "orchestrator.cli.commands.instance_views:watch",
        "suspend": "orchestrator.cli.commands.instance_commands:suspend",
        "resume": "orchestrator.cli.commands.instance_commands:resume",
        "cancel": "orchestrator.cli.commands.instance_commands:cancel",
        "terminate": "orchestrator.cli.commands.instance_commands:terminate",
        "retry": "orchestrator.cli.commands.instance_commands:retry",
        "compensate": "orchestrator.cli.commands.instance_commands:compensate",
        "skip": "orchestrator.cli.commands.instance_commands:skip",
        "graph": "orchestrator.cli.commands.mermaid_graph:graph",
        "event": "orchestrator.cli.commands.events:event",
        "subscription": "orchestrator.cli.commands.subscriptions:subscription",
        "dead-letter": "orchestrator.cli.commands.dead_letters:dead_letter",
        "operation": "orchestrator.cli.commands.bulk_operations:operation",
        "queue": "orchestrator.cli.commands.workers:queue",
        "schedule": "orchestrator.cli.commands.schedules:schedule",
        "secret": "orchestrator.cli.commands.secrets:secret",
        "key": "orchestrator.cli.commands.api_keys:key",
        "why": "orchestrator.cli.commands.wait_reasons:why",
        "logs": "orchestrator.cli.commands.instance_logs:logs",
        "doctor": "orchestrator.cli.commands.doctor:doctor",
        "openapi": "orchestrator.cli.commands.openapi:openapi",
        "outbox-relay": "orchestrator.cli.server.outbox_relay:outbox_relay",
        "canvas-check": "orchestrator.cli.commands.canvas_check:canvas_check",
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="celery-orchestrator", message="%(version)s")
@shared_options
def main(shared: Shared) -> None:
    """Durable workflows on Celery.

    Begin with `orchestrator demo` to see it at work, or `orchestrator dev` to run everything
    in one terminal. The exit status says how a workflow ended: 0 completed, 1 faulted,
    7 cancelled, 8 faulted and compensated; 2 usage, 3 not found, 4 not allowed,
    5 unreachable, 6 wait timed out.
    """
