"""`init`: a starter project with two tasks, a workflow of them and a README with commands."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.exit_codes import Exit, Failure

_TASKS = '''\
"""Plain Celery tasks; each can be a step of a workflow as it is."""

from celery import shared_task


@shared_task
def book(what: str) -> dict:
    return {"booking": f"{what}-1"}


@shared_task
def unbook(booking: str) -> None:
    print(f"{booking} is cancelled")
'''

_WORKFLOW = """\
document:
  dsl: '1.0.3'
  namespace: default
  name: trip
  version: '0.1.0'
do:
  - bookHotel:
      call: tasks.book
      with: { what: hotel }
      metadata:
        compensate:                 # runs if a later step faults
          call: tasks.unbook
          with: { booking: '${ $output.booking }' }
  - bookFlight:
      call: tasks.book
      with: { what: '${ $workflow.input.flight // "flight" }' }
      metadata:
        compensate:
          call: tasks.unbook
          with: { booking: '${ $output.booking }' }
"""

_README = """\
# A workflow of Celery tasks

Start everything in one terminal:

```sh
ORCHESTRATOR_IMPORTS=tasks orchestrator dev
```

Run the workflow in another:

```sh
orchestrator validate trip.yaml
orchestrator run trip.yaml -i '{"flight": "LH-1"}'
orchestrator list
```

`tasks.py` contains the tasks, `trip.yaml` the workflow (Serverless Workflow DSL 1.0.3).
"""

_FILES = {
    "tasks.py": _TASKS,
    "trip.yaml": _WORKFLOW,
    "README.md": _README,
    ".gitignore": ".orchestrator/\n__pycache__/\n",
}


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
def init(folder: Path) -> None:
    """Write a starter project into FOLDER (default: here). It overwrites no file."""
    existing = [name for name in _FILES if (folder / name).exists()]
    if existing:
        names = ", ".join(existing)
        raise Failure(f"{folder} already has {names}", Exit.USAGE, "Name a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in _FILES.items():
        (folder / name).write_text(text)
        click.echo(folder / name)
    click.echo(f"Next: read {folder / 'README.md'}", err=True)
