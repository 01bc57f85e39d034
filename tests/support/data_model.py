"""Writes docs/data_model.md from the tables: ``python -m tests.support.data_model``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Column, Table

from orchestrator.database.schema import tables

PAGE = Path(__file__).parents[2] / "docs" / "data_model.md"

HEAD = """# Data model

All tables live in the Postgres schema `orchestrator`; `logins` and `starts` in
`orchestrator_outbox`. Payloads are `json`, never `jsonb`, which reorders keys and refuses
`\\u0000`. Hot tables carry no foreign keys; tests audit them instead. Ids are UUIDs of version 7.
This page is written from `orchestrator/database/schema/tables.py` by
`python -m tests.support.data_model`; tests hold it and the migrations to the tables.
"""


def page() -> str:
    """The whole page."""
    source = Path(tables.__file__).read_text(encoding="utf-8")
    sections = ["\n".join(_section(table, source)) for table in tables.metadata.tables.values()]
    return "\n".join([HEAD, *sections])


def _section(table: Table, source: str) -> Iterator[str]:
    start = rf'((?:#:[^\n]*\n)*)\w+ = Table\(\n    "{table.name}"(.*?)\n\)\n'
    found = re.search(start, source, re.DOTALL)
    assert found is not None, table.name
    yield f"## {table.name}\n"
    if found[1]:
        yield _text(found[1]) + "\n"
    yield "| column | type | | meaning |\n|---|---|---|---|"
    for column in table.columns:
        meaning = _comment(column, found[2]).replace("|", "\\|")
        yield f"| `{column.name}` | {str(column.type).lower()} | {_note(column)} | {meaning} |"
    yield ""


def _comment(column: Column, body: str) -> str:
    """The comment above a column, within the text of its table."""
    found = re.search(rf'((?:    #:.*\n)+)    Column\(\s*"{column.name}"', body)
    return _text(found[1]) if found else ""


def _text(comment: str) -> str:
    return " ".join(line.strip()[2:].strip() for line in comment.strip().split("\n"))


def _note(column: Column) -> str:
    if column.primary_key:
        return "key"
    return "" if column.nullable else "not null"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
