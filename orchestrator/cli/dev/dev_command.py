"""`dev`: everything in one terminal, until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from rich.console import Console
from rich.markup import escape

from orchestrator.cli.exit_codes import Exit, Failure, exit_with
from orchestrator.cli.options import PORT
from orchestrator.cli.output import progress_console

if TYPE_CHECKING:
    from orchestrator.cli.dev.local_stack import LocalStack


@click.command(short_help="Run everything in this terminal.")
@click.option(
    "--port",
    type=PORT,
    default=8233,
    envvar="ORCHESTRATOR_API_PORT",
    show_default=True,
    help="The API's port; 0: any free port.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".orchestrator"),
    show_default=True,
    help="The folder of the databases and dev.json.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="Number of workers; 0: you start your own.",
)
@click.option("--fresh", is_flag=True, help="Begin with empty databases.")
@click.option("--flower", is_flag=True, help="Start Flower as well.")
@click.option("-A", "--app", help="The project's Celery app: its tasks, queues and settings.")
@click.option("--reload", is_flag=True, help="Restart the workers when a Python file changes.")
def dev(
    port: int,
    data: Path,
    workers: int,
    fresh: bool,
    flower: bool,
    app: str | None,
    reload: bool,
) -> None:
    """Run Postgres, broker, API, workers and beat in this terminal; Ctrl-C stops everything.

    The workers use the app of --app, or import the modules of ORCHESTRATOR_IMPORTS. There is no
    authentication: the API listens on this machine only.
    """
    from orchestrator.cli.dev.code_watcher import watch
    from orchestrator.cli.dev.local_stack import LocalStack, StackPlan
    from orchestrator.cli.dev.log_follower import following
    from orchestrator.embedded.supervisor import ProcessFailed

    console = progress_console()
    plan = StackPlan(data, port, workers, fresh=fresh, flower=flower, app=app)
    try:
        with until_stopped(), LocalStack(plan, reporter(console)) as stack:
            console.print(f"[green]ready[/] · data in {escape(str(stack.data))}")
            click.echo(stack.api_url)
            if stack.flower_url:
                console.print(f"Flower: {stack.flower_url} · login {stack.flower_login}")
            if reload:
                watch(Path.cwd(), partial(_reload, stack, console))
            with following(stack.logs, console):
                threading.Event().wait()
    except ProcessFailed as error:
        raise Failure(str(error), Exit.UNREACHABLE) from error
    except StopRequested:
        console.print("stopped")
    exit_with(Exit.COMPLETED)


def _reload(stack: LocalStack, console: Console, changed: str) -> None:
    console.print(f"[dim]{escape(changed)} has changed: the workers start again[/]")
    stack.restart_workers()


def reporter(console: Console) -> Callable[[str], None]:
    """Return a function that prints the progress of a stack."""
    return lambda text: console.print(f"[dim]{escape(text)}[/]")


class StopRequested(BaseException):
    """The user or the system asked to stop: Ctrl-C, SIGTERM or a closed terminal."""


@contextmanager
def until_stopped() -> Iterator[None]:
    """Raise `StopRequested` in the block at the first signal, and ignore later ones.

    A second Ctrl-C thus does not interrupt the orderly stop. If the stop hangs, SIGKILL ends all
    processes as well.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(_number: int, _frame: object) -> NoReturn:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise StopRequested

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
