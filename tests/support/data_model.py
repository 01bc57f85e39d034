"""Writes docs/data_model.md from the tables: ``python -m tests.support.data_model``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Column, Table

from orchestrator.database.schema import tables

PAGE = Path(__file__).parents[2] / "docs" / "data_model.md"

HEAD = """# Data model

All tables live in the Postgres schema `orchestrator`. Payloads are `json`, never `jsonb`, which
reorders keys and refuses `\\u0000`. Hot tables carry no foreign keys; tests audit them instead.
Ids are UUIDs of version 7. This page is written from `orchestrator/database/schema/tables.py` by
`python -m tests.support.data_model`; tests hold it and the migrations to the tables.
"""


def page() -> str:
    """The whole page."""
    source = Path(tables.__file__).read_text(encoding="utf-8")
    sections = ["\n".join(_section(table, source)) for table in tables.metadata.tables.values()]
    return "\n".join([HEAD, *sections])


def _section(table: Table, source: str) -> Iterator[str]:
    yield f"## {table.name}\n"
    if found := re.search(r"((?:#:.*\n)+)\w+ = Table\(\n    \"" + table.name + '"', source):
        yield " ".join(line[2:].strip() for line in found[1].strip().split("\n")) + "\n"
    yield "| column | type | |\n|---|---|---|"
    for column in table.columns:
        yield f"| `{column.name}` | {str(column.type).lower()} | {_note(column)} |"
    yield ""


def _note(column: Column) -> str:
    if column.primary_key:
        return "key"
    return "" if column.nullable else "not null"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
