"""`init`: a project to start from, with two tasks, a workflow over them and what to type."""

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
    print(f"{booking} is given back")
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
# A workflow over Celery tasks

In one terminal, everything that is needed:

```sh
ORCHESTRATOR_IMPORTS=tasks orchestrator dev
```

In another:

```sh
orchestrator validate trip.yaml
orchestrator run trip.yaml -i '{"flight": "LH-1"}'
orchestrator list
```

`tasks.py` holds the tasks, `trip.yaml` the workflow (Serverless Workflow DSL 1.0.3).
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
    """Write a starter project into FOLDER (default: here). Overwrites nothing."""
    taken = [name for name in _FILES if (folder / name).exists()]
    if taken:
        raise Failure(f"{folder} already has {', '.join(taken)}", Exit.USAGE, "Name a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in _FILES.items():
        (folder / name).write_text(text)
        click.echo(folder / name)
    click.echo(f"Next: read {folder / 'README.md'}", err=True)
