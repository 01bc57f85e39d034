"""`demo`: the whole product, embedded, with an order that fails and one that does not.

The worker that is killed, the card that is declined and the goods that go back are real;
what is printed is read from the history, the attempts and the shop's own tables.
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
from orchestrator.cli.dev.local_stack import LocalStack, Plan
from orchestrator.cli.exit_codes import Exit, Failure, exit_with
from orchestrator.cli.options import PORT
from orchestrator.cli.output import progress_console, stdout_console
from orchestrator.embedded.supervisor import ProcessFailed

#: The shortest lease: how long the killed worker's step waits for somebody else.
_LEASE = "2"


@click.command(short_help="See it at work: a saga that goes wrong.")
@click.option("--keep", is_flag=True, help="Stay up afterwards, with Flower.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".orchestrator/demo"),
    show_default=True,
    help="Where its databases live; emptied first.",
)
@click.option("--port", type=PORT, default=0, help="The API's port; default: a free one.")
def demo(keep: bool, data: Path, port: int) -> None:
    """Run an order saga through everything: a worker dies, a card is declined, all is undone.

    Exits 0 only if everything ended as it must.
    """
    console = stdout_console()
    stack = LocalStack(_plan(data, port, flower=keep), reporter(progress_console()))
    checks: list[Check] = []
    try:
        with until_stopped(), stack:
            checks += run_orders(stack, console)
            if keep:
                _verdict(checks, console)
                console.print(f"The API: {stack.api_url}")
                console.print(f"Flower: {stack.flower_url}, login {stack.flower_login}")
                console.print("Ctrl-C ends it all.")
                threading.Event().wait()
    except ProcessFailed as error:
        raise Failure(str(error), Exit.UNREACHABLE) from error
    except StopRequested:
        exit_with(Exit.COMPLETED if keep and all(c.holds for c in checks) else Exit.CANCELLED)
    checks.append(expectations.that_none_is_left(stack.alive()))
    _verdict(checks, console)
    exit_with(Exit.COMPLETED if all(check.holds for check in checks) else Exit.FAULTED)


def _plan(data: Path, port: int, flower: bool) -> Plan:
    path = [str(find_project()), os.environ.get("PYTHONPATH")]
    return Plan(
        data=data,
        port=port,
        workers=2,
        concurrency=2,
        fresh=True,
        flower=flower,
        # The order is taken up by the other worker, not by the killed one's next life.
        restart=False,
        environment={
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "ORCHESTRATOR_IMPORTS": "shop.tasks,shop.sabotage",
            "ORCHESTRATOR_LEASE": _LEASE,
        },
    )


def _verdict(checks: list[Check], console: Console) -> None:
    console.rule("checked", align="left")
    for check in checks:
        if check.holds:
            console.print(f"[green]✓[/] {check.what}")
        else:
            found = escape(f"expected {check.expected!r}, found {check.found!r}")
            console.print(f"[red]✗ {check.what}[/]: {found}")
