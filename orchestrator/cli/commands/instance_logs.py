"""`logs ID`: what the log files of our processes say about one instance.

Logs are files, or streams of a container platform; the product keeps none of its own. So this is
a search: every record that names the instance, or one of its attempts (which Celery calls the
task's id), whole with its traceback, merged by time. See docs/decisions/people.md.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click
from rich.markup import escape

from orchestrator.cli.completion import instance_id
from orchestrator.cli.exit_codes import Exit, Failure
from orchestrator.cli.id_lookup import find_instance, is_id
from orchestrator.cli.options import Shared, shared_options
from orchestrator.cli.output import progress_console
from orchestrator.client import Client, Unreachable

#: The beginning of a record: JSON, or the time that our text has first. A container platform may
#: put the name of a container before it.
_BEGIN = re.compile(r"(?:\S+ +[|:]? *)?(?:(?P<json>\{.*\})$|(?P<time>\d{4}-\d\d-\d\dT\S+))")
#: Characters of one record at most: what is not ours may have no line ends.
_LONGEST = 1_000_000


@dataclass(frozen=True)
class Record:
    """One log record: where it stood, its time (ISO 8601, empty where it has none), its text with
    all lines, and its members where it is JSON."""

    source: str
    time: str
    text: str
    members: dict[str, Any] | None = None


@click.command()
@instance_id
@click.argument("files", nargs=-1, metavar="[FILE...]")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".orchestrator"),
    show_default=True,
    help="The data folder of `orchestrator dev`, where no file is named.",
)
@shared_options
def logs(shared: Shared, id: str, files: Sequence[str], data: Path) -> None:
    """Show what was logged about an instance and its attempts, in the order of time.

    It searches the logs of `orchestrator dev`, or the FILEs that are named; - is standard input,
    as in: kubectl logs -l app=worker --prefix | orchestrator logs ID -
    """
    places = _places(files, data)
    with shared.client() as client:
        ids = _ids(client, id)
    found = sorted(
        (record for place in places for record in _found(place, ids)), key=lambda one: one.time
    )
    if not shared.printer.table:
        shared.printer.rows((_row(record) for record in found), ())
        return
    width = max((len(record.source) for record in found), default=0)
    for record in found:
        for line in record.text.splitlines():
            click.echo(f"{record.source:<{width}}  {_printable(line)}")
    if not found:
        names = ", ".join(map(str, places))
        progress_console().print(f"nothing about it in {escape(names)}")


def _places(files: Sequence[str], data: Path) -> list[Path]:
    """The files to search; raises `Failure` where there are none."""
    if files:
        return [Path(name) for name in files]
    found = sorted((data / "logs").glob("*.log"))
    if not found:
        hint = "Name log files, or pipe them in: kubectl logs ... | orchestrator logs ID -"
        raise Failure(f"there are no logs in {data / 'logs'}", Exit.USAGE, hint)
    return found


def _ids(client: Client, text: str) -> frozenset[str]:
    """The ids that a record about the instance may have. Without the API a whole id is searched
    for alone: its logs matter most when nothing answers."""
    try:
        id = find_instance(client, text)
        attempts = [attempt.id for step in client.steps(id) for attempt in step.attempts]
    except Unreachable as error:
        if not is_id(text):
            raise
        said = f"{error}: only records that name the instance itself are found"
        progress_console().print(f"[yellow]warning[/] {escape(said)}")
        return frozenset({text.lower()})
    return frozenset({id, *attempts})


def _found(place: Path, ids: frozenset[str]) -> Iterator[Record]:
    """The records of a file that name one of the ids."""
    for record in records(place.stem, _lines(place)):
        if any(id in record.text for id in ids):
            yield record


def _lines(place: Path) -> Iterator[str]:
    if str(place) == "-":
        yield from _text(sys.stdin.buffer)
        return
    with place.open("rb") as file:
        yield from _text(file)


def _text(file: IO[bytes]) -> Iterator[str]:
    while line := file.readline(_LONGEST):
        yield line.decode(errors="replace").rstrip("\r\n")


def records(source: str, lines: Iterable[str]) -> Iterator[Record]:
    """The records of a log: a line that begins none belongs to the one before."""
    record: list[str] = []
    for line in lines:
        if _BEGIN.match(line) or sum(map(len, record)) > _LONGEST:
            if record:
                yield _record(source, record)
            record = []
        record.append(line)
    if record:
        yield _record(source, record)


def _record(source: str, lines: list[str]) -> Record:
    text, begin = "\n".join(lines), _BEGIN.match(lines[0])
    if begin is None:
        return Record(source, "", text)
    if begin["time"]:
        return Record(source, begin["time"], text)
    try:
        members = json.loads(begin["json"])
    except (ValueError, RecursionError):
        return Record(source, "", text)
    return Record(source, str(members.get("timestamp", "")), text, members)


def _row(record: Record) -> dict[str, Any]:
    if record.members is not None:
        return {"source": record.source, **record.members}
    return {"source": record.source, "timestamp": record.time or None, "message": record.text}


def _printable(line: str) -> str:
    """No text from outside commands the terminal."""
    return "".join(
        each if each.isprintable() or each == "\t" else repr(each)[1:-1] for each in line
    )
