"""The page of what components say to each other names just what the code has."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator import message_names
from orchestrator.database.connection.driver_errors import FUNCTION_CODES
from orchestrator.database.schema.function_installer import qualified, read_functions
from orchestrator.database.schema.tables import metadata
from tests.support.schema_functions import IN_MIGRATIONS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "interfaces" / "internal.md").read_text(encoding="utf-8")
CODE = {path: path.read_text(encoding="utf-8") for path in (ROOT / "orchestrator").rglob("*.py")}


def told(pattern: str) -> set[str]:
    """What stands first in the rows of the page's tables, where it looks so."""
    return set(re.findall(rf"^\| `({pattern})` \|", PAGE, re.MULTILINE))


def test_the_messages():
    for name in (
        message_names.ADVANCE,
        message_names.MATCH,
        message_names.CALL,
        message_names.HEADER,
    ):
        assert f"`{name}`" in PAGE


def test_the_functions_of_postgres():
    names = {*read_functions(), *IN_MIGRATIONS}
    assert told(r"orchestrator(?:_outbox)?\.\w+") == {qualified(name) for name in names}


def test_the_sqlstates():
    assert set(re.findall(r"`(OR\d+)`", PAGE)) == set(FUNCTION_CODES)


def test_the_channels():
    channels = {
        found
        for text in CODE.values()
        for found in re.findall(r'^CHANNEL = "(\w+)"', text, re.MULTILINE)
    }
    assert told(r"orchestrator_\w+") == channels


def test_the_tables():
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| [^|]+ \| [^|]+ \|$", PAGE, re.MULTILINE)
    tables = {table.name for table in metadata.tables.values()}
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} >= tables


def test_the_signals():
    connected = {
        found for text in CODE.values() for found in re.findall(r"signals\.(\w+)\.connect", text)
    }
    assert told(r"(?:task|worker|celeryd|setup)_\w+") == connected
