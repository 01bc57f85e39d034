"""`demo`: the whole product with embedded servers, one order that fails and one that succeeds.

Nothing is simulated: a worker is killed, a card is declined, the goods go back into stock. The
printed lines come from the history, the attempts and the shop's own tables.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from orchestrator.cli.demo import expectations
from orchestrator.cli.demo.demo_orders import run_orders
from orchestrator.cli.demo.expectations import Check
from orchestrator.cli.demo.shop import find_project
from orchestrator.cli.dev.dev_command import StopRequested, reporter, until_stopped
from orchestrator.cli.dev.local_stack import LocalStack, StackPlan
from orchestrator.cli.exit_codes import Exit, Failure, exit_with
from orchestrator.cli.options import PORT
from orchestrator.cli.output import progress_console, stdout_console
from orchestrator.embedded.supervisor import ProcessFailed

#: Lease in seconds: how long the step of the killed worker waits for another worker.
_LEASE = "2"


@click.command(short_help="Run an order saga that fails and is undone.")
@click.option("--keep", is_flag=True, help="Keep everything running afterwards, with Flower.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".orchestrator/demo"),
    show_default=True,
    help="The folder of its databases; emptied first.",
)
@click.option("--port", type=PORT, default=0, help="The API's port; default: a free one.")
def demo(keep: bool, data: Path, port: int) -> None:
    """Run an order saga: a worker is killed, a card is declined, completed steps are undone.

    Exits 0 only if every check of the result passes.
    """
    console = stdout_console()
    stack = LocalStack(_plan(data, port, flower=keep), reporter(progress_console()))
    checks: list[Check] = []
    try:
        with until_stopped(), stack:
            checks += run_orders(stack, console)
            if keep:
                _print_verdict(checks, console)
                console.print(f"Console and API: {stack.api_url}")
                console.print(f"Flower: {stack.flower_url}, login {stack.flower_login}")
                console.print("Ctrl-C stops everything.")
                threading.Event().wait()
    except ProcessFailed as error:
        raise Failure(str(error), Exit.UNREACHABLE) from error
    except StopRequested:
        exit_with(Exit.COMPLETED if keep and all(c.passed for c in checks) else Exit.CANCELLED)
    checks.append(expectations.no_process_left(stack.running_processes()))
    _print_verdict(checks, console)
    exit_with(Exit.COMPLETED if all(check.passed for check in checks) else Exit.FAULTED)


def _plan(data: Path, port: int, flower: bool) -> StackPlan:
    path = [str(find_project()), os.environ.get("PYTHONPATH")]
    return StackPlan(
        data=data,
        port=port,
        workers=2,
        concurrency=2,
        fresh=True,
        flower=flower,
        # Do not restart the worker that the demo kills: the demo shows how the other worker
        # continues the order.
        restart=False,
        environment={
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "ORCHESTRATOR_IMPORTS": "shop.tasks,shop.sabotage",
            "ORCHESTRATOR_LEASE": _LEASE,
        },
    )


def _print_verdict(checks: list[Check], console: Console) -> None:
    console.rule("checked", align="left")
    for check in checks:
        if check.passed:
            console.print(f"[green]✓[/] {check.statement}")
        else:
            difference = escape(f"expected {check.expected!r}, found {check.actual!r}")
            console.print(f"[red]✗ {check.statement}[/]: {difference}")
