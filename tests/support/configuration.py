"""Writes docs/operations/configuration.md from the settings:
``python -m tests.support.configuration``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from marshmallow.validate import Length, OneOf, Range

from orchestrator import settings
from orchestrator.settings import PREFIX, Settings

PAGE = Path(__file__).parents[2] / "docs" / "operations" / "configuration.md"

HEAD = """# Configuration

Every setting is an environment variable of the process that uses it. All have defaults that fit
where Postgres and the broker run on this machine. A flag of the command line wins over its
variable. Durations are in seconds, sizes in bytes, lists are separated by commas; an empty variable
counts as not set. A variable with `_FILE` at its end names a file with the value, such as a secret
that Docker or Kubernetes mounts. No log shows the values marked as secret. A process that finds
invalid values names all such variables and exits.

This page is written from `orchestrator/settings.py` by `python -m tests.support.configuration`.
"""

#: What each group of settings is about, by its first one.
TITLES = {
    "database_url": "Postgres",
    "broker_url": "Broker, queues and tasks",
    "lease": "Leases, delivery and shutdown",
    "max_payload": "Bounds and retention",
    "api_host": "API",
    "run_shell": "Shell commands and scripts",
    "secrets_dir": "Secrets of workflows",
    "outbound_allow": "Outgoing calls",
    "metrics_without_key": "Metrics and logs",
}

TAIL = """
## Celery's own

Our own processes derive Celery's settings from these (`celeryconfig.py`). Your app keeps its own
Celery settings: [workers.md](workers.md) lists those that `install(app)` needs. Worker events,
which Flower needs, are off unless a worker is started with `-E`.
"""


def page() -> str:
    """The whole page."""
    source = Path(settings.__file__).read_text(encoding="utf-8")
    known = {field.name: field for field in fields(Settings)}
    body = source[source.index("class Settings") : source.index("    @property")]
    groups = [_said(block) for block in body.split("\n\n")]
    sections = ["\n".join(_section(group, known)) for group in groups if group]
    return "\n".join([HEAD, *sections]) + TAIL


def _said(block: str) -> dict[str, str]:
    """The comments of a block's fields, by the field."""
    found = re.findall(r"((?:    #: .*\n)+)    (\w+):", block + "\n")
    return {
        name: " ".join(line.strip()[3:] for line in comment.splitlines()) for comment, name in found
    }


def _section(group: dict[str, str], known: dict[str, Field[Any]]) -> Iterator[str]:
    yield f"## {TITLES[next(iter(group))]}\n"
    yield "| variable | default | |\n|---|---|---|"
    for name, comment in group.items():
        field = known[name]
        text = comment.replace("``", "`").replace("|", "\\|")
        notes = [text, *_bounds(field), *([] if field.repr else ["Secret."])]
        yield f"| `{PREFIX}{name.upper()}` | {_default(field.default)} | {' '.join(notes)} |"
    yield ""


def _default(value: object) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:.12g}`" if isinstance(value, float) else f"`{value}`"


def _bounds(field: Field[Any]) -> Iterator[str]:
    for check in field.metadata.get("validate", ()):
        if isinstance(check, OneOf):
            yield "One of " + ", ".join(f"`{choice}`" for choice in check.choices) + "."
        elif isinstance(check, Range) and check.max is not None:
            yield f"{check.min} to {check.max}."
        elif isinstance(check, Range):
            yield f"{'At least' if check.min_inclusive else 'More than'} {check.min}."
        elif isinstance(check, Length):
            yield f"{check.min} to {check.max} characters."


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
