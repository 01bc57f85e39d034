"""`start` starts an instance; `run` starts one and waits for its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from orchestrator.cli.commands.documents import deploy_file
from orchestrator.cli.completion import workflows_or_files
from orchestrator.cli.exit_codes import Exit, exit_of, exit_with
from orchestrator.cli.options import JsonValue, KeyValue, Shared, shared_options
from orchestrator.cli.output import progress_console
from orchestrator.cli.views.live_view import follow
from orchestrator.client import Client, Run

FOREVER = float("inf")


class WaitCommand(click.Command):
    """A command whose ``--wait`` accepts seconds or no value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; ``--wait`` without a value means: without a limit."""
        following = [*args[1:], ""]  # zip below ignores the surplus
        args = [
            f"--wait={FOREVER}" if arg == "--wait" and not _is_number(after) else arg
            for arg, after in zip(args, following, strict=False)
        ]
        return super().parse_args(ctx, args)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def start_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that describe the new instance."""
    options = [
        click.argument("workflow", metavar="NAME|FILE", shell_complete=workflows_or_files),
        click.option("-i", "--input", type=JsonValue(), help="The input: JSON or @file."),
        click.option("--version", help="A version of the workflow; default: the newest."),
        click.option("--business-id", help="Your own id of the instance, unique in the namespace."),
        click.option(
            "--label", "labels", type=KeyValue(), multiple=True, help="A label; repeatable."
        ),
        click.option(
            "--idempotency-key", help="Repeating the command with the same key starts nothing."
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.command(cls=WaitCommand)
@start_options
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=FOREVER,
    metavar="[SECONDS]",
    help="How long to wait for the end; default: no limit. Exits 6 after this time.",
)
@shared_options
def run(shared: Shared, workflow: str, wait: float, **start: Any) -> None:
    """Start a workflow, show its steps while it runs, print its output.

    NAME is namespace/name of a deployed workflow; a FILE is deployed first.
    """
    with shared.client() as client:
        started = start_instance(client, workflow, **start)
        console = progress_console()
        console.print(f"[dim]{escape(started.workflow)} {escape(started.version)}[/] {started.id}")
        ended = follow(client, started, wait, console)
    if ended.status == "completed":
        shared.printer.value(ended.output)
    exit_with(exit_of(ended))


@click.command()
@start_options
@shared_options
def start(shared: Shared, workflow: str, **start: Any) -> None:
    """Start a workflow and print the id of its instance."""
    with shared.client() as client:
        started = start_instance(client, workflow, **start)
    if shared.printer.table:
        click.echo(started.id)
    else:
        shared.printer.value(started.data)
    exit_with(Exit.COMPLETED)


def start_instance(
    client: Client, workflow: str, labels: Sequence[tuple[str, str]] = (), **start: Any
) -> Run:
    """Start `workflow`. If it names a file, deploy the file first and start its version."""
    file = Path(workflow)
    if file.suffix in (".yaml", ".yml", ".json"):
        deployed = deploy_file(client, file)
        workflow, start["version"] = deployed.workflow, deployed.version
    return client.start(workflow, labels=dict(labels), **start)
