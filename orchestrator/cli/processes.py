"""`api`, `worker` and `beat`: one process of the product each, in the foreground."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from typing import Any

import click

from orchestrator.settings import load_settings


@click.command()
@click.option("--host", help="Default: ORCHESTRATOR_API_HOST, else 127.0.0.1.")
@click.option("--port", type=int, help="Default: ORCHESTRATOR_API_PORT, else 8233.")
def api(host: str | None, port: int | None) -> None:
    """Serve the REST API."""
    from api.server import run

    given = {"api_host": host, "api_port": port}
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    run(dataclasses.replace(load_settings(), **chosen))


@click.command(short_help="Run steps.")
@click.option("-Q", "--queues", help="Queues to serve, separated by commas.")
@click.option("-c", "--concurrency", type=int, help="Steps at a time; default: the processors.")
@click.option("--pool", type=click.Choice(["prefork", "threads"]), help="Default: prefork.")
@click.option("-n", "--hostname", help="The worker's name, as Flower shows it.")
@click.option("-l", "--loglevel", default="INFO", show_default=True)
@click.option("-E", "--task-events", is_flag=True, help="Send events, for Flower.")
def worker(task_events: bool, **options: Any) -> None:
    """Run steps: a Celery worker that imports the modules of ORCHESTRATOR_IMPORTS."""
    arguments = [f"--{name}={value}" for name, value in options.items() if value is not None]
    if task_events:
        arguments.append("--task-events")
    _celery("worker", *arguments)


@click.command()
@click.option("-l", "--loglevel", default="INFO", show_default=True)
def beat(loglevel: str) -> None:
    """Fire what falls due; several may run side by side."""
    _celery("beat", f"--loglevel={loglevel}")


def _celery(*arguments: str) -> None:
    # Imported before Celery puts the working directory in front of the path: a project's
    # own package `workers` must not take the place of ours.
    app = import_module("workers.app").app
    app.start(argv=list(arguments))
