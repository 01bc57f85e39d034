"""`api`, `worker` and `beat`: each runs one process of the product in the foreground."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.commands.workers import list_workers
from orchestrator.cli.exit_codes import Exit, Failure
from orchestrator.cli.options import PORT
from orchestrator.cli.server.bundled_api import use_bundled_api
from orchestrator.extras import require_installed
from orchestrator.settings import load_settings

if TYPE_CHECKING:
    from celery import Celery

_app = click.option(
    "-A", "--app", help="The project's Celery app, as in `celery -A`; default: an app of our own."
)
_log_level = click.option("-l", "--loglevel", help="Default: ORCHESTRATOR_LOG_LEVEL, else INFO.")


@click.command()
@click.option("--host", help="Default: ORCHESTRATOR_API_HOST, else 127.0.0.1.")
@click.option("--port", type=PORT, help="Default: ORCHESTRATOR_API_PORT, else 8233.")
def api(host: str | None, port: int | None) -> None:
    """Serve the REST API."""
    # Look for the packages before the server starts. Without them, each serving process would exit
    # at its import.
    require_installed("gunicorn", "flask", "flask_smorest", "webargs", "psycopg2")
    _load("structlog", without="rich")  # not for workers: users' code may need rich
    use_bundled_api()
    from api.server.gunicorn_server import run

    options = {"api_host": host, "api_port": port}
    chosen: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    run(dataclasses.replace(load_settings(), **chosen))


@click.group(invoke_without_command=True, short_help="Run steps, or list workers.")
@_app
@click.option("-Q", "--queues", help="Queues to serve, separated by commas.")
@click.option(
    "-c",
    "--concurrency",
    type=click.IntRange(min=1),
    help="Steps at a time; default: the number of processors.",
)
@click.option("--pool", type=click.Choice(["prefork", "threads"]), help="Default: prefork.")
@click.option("-n", "--hostname", help="The worker's name, as Flower shows it.")
@_log_level
@click.option("-E", "--task-events", is_flag=True, help="Send events, for Flower.")
@click.option(
    "--remote-control", is_flag=True, help="Accept commands of `celery control` and Flower."
)
def worker(
    app: str | None,
    task_events: bool,
    remote_control: bool,
    loglevel: str | None,
    **options: Any,
) -> None:
    """Run steps: a Celery worker of the app of --app, or of our own app, which imports the modules
    of ORCHESTRATOR_IMPORTS."""
    if click.get_current_context().invoked_subcommand:
        return
    arguments = [f"--{name}={value}" for name, value in options.items() if value is not None]
    if task_events:
        arguments.append("--task-events")
    _run_celery_command("worker", app, loglevel, *arguments, remote_control=remote_control)


worker.add_command(list_workers)


@click.command()
@_app
@_log_level
def beat(app: str | None, loglevel: str | None) -> None:
    """Fire timers and schedules, find lost work; several beats may run side by side."""
    _load("structlog", without="rich")
    _run_celery_command(
        "beat",
        app,
        loglevel,
        "--scheduler=orchestrator.execution.entry_points.beat_scheduler:Scheduler",
    )


def _load(module: str, *, without: str) -> None:
    """Import `module` without the optional module `without`, which it would import if installed.

    structlog imports rich for coloured tracebacks, Celery's commands import pygments. A server
    needs neither, and would keep both in memory.
    """
    hidden: Any = None
    if not {module, without}.intersection(sys.modules):
        sys.modules[without] = hidden
        try:
            import_module(module)
        finally:
            del sys.modules[without]


def _run_celery_command(
    name: str,
    project: str | None,
    loglevel: str | None,
    *arguments: str,
    remote_control: bool = False,
) -> None:
    """Run Celery's own command of this name for the project's app, or for our own.

    It does not use the command `celery`, which imports all installed subcommands, such as Flower
    and a shell; a server process would keep them in memory.
    """
    _load("celery.bin.base", without="pygments")
    from celery.bin.base import CLIContext

    command = getattr(import_module(f"celery.bin.{name}"), name)
    # Put the working directory on the import path: the modules with the users' tasks are there.
    sys.path.insert(0, os.getcwd())
    if project is None:
        app = import_module("orchestrator.execution.entry_points.worker_and_beat_app").app
        _import_tasks(app, load_settings().imports)
    else:
        app = _project_app(project)
    if remote_control:  # our own app has just disabled the commands
        import_module("orchestrator.execution.worker.remote_control").enable_commands()
    level = loglevel or load_settings().log_level
    status = command.main(
        [f"--loglevel={level}", *arguments],
        prog_name=click.get_current_context().command_path,
        standalone_mode=False,
        obj=CLIContext(app, no_color=bool(os.environ.get("NO_COLOR")), workdir=None),
    )
    sys.exit(status)  # a worker that stops by itself chooses the status


def _project_app(name: str) -> Celery:
    """Return the project's app, installed. Raises `Failure` if it can't be imported."""
    from celery.app.utils import find_app

    from orchestrator import install

    try:
        app: Celery = find_app(name)
        install(app)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        message = f"--app {name}: it can't be imported: {type(error).__name__}: {reason}"
        searched = _SEARCHED.format(os.getcwd())
        raise Failure(message + _location(error), Exit.USAGE, searched) from error
    app.set_default()
    return app


def _import_tasks(app: Celery, modules: Sequence[str]) -> None:
    """Import users' modules before Celery does, so that an error is reported in one line.

    Raises `Failure` with the file and line of the error, if the module was found.
    """
    from celery.signals import import_modules

    for _, answer in import_modules.send(sender=app):  # Django, if used, is set up here
        if isinstance(answer, Exception):
            raise answer
    for name in modules:
        try:
            import_module(name)
        except Exception as error:
            reason = str(error).partition("\n")[0]
            message = (
                f"ORCHESTRATOR_IMPORTS: {name} can't be imported: {type(error).__name__}: {reason}"
            )
            raise Failure(
                message + _location(error), Exit.USAGE, _SEARCHED.format(os.getcwd())
            ) from error


_SEARCHED = "Modules are searched in {} and in the environment's packages (PYTHONPATH)."


def _location(error: BaseException) -> str:
    """Return file and line of an import error; empty if the module was not found."""
    frames = [f for f in extract_tb(error.__traceback__)[1:] if not f.filename.startswith("<")]
    frames = [f for f in frames if f.filename != importlib.__file__]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
