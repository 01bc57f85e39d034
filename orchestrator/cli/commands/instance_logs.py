"""`logs ID`: the log records of our processes about one instance.

The product stores no logs: they are files, or streams of a container platform. This command
searches them for records that contain the id of the instance or of one of its attempts (Celery's
task id), and prints them with their tracebacks, ordered by time. See docs/decisions/people.md.
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

#: The beginning of a record: JSON, or the time of our text format. A container platform may put the
#: name of a container before it.
_BEGIN = re.compile(r"(?:\S+ +[|:]? *)?(?:(?P<json>\{.*\})$|(?P<time>\d{4}-\d\d-\d\dT\S+))")
#: Largest number of characters of a record and of a line: text from others may have no line ends.
_MAX_RECORD = 1_000_000


@dataclass(frozen=True)
class LogRecord:
    """One log record: the name of its file, its time (ISO 8601, empty if it has none), its text
    with all lines, and its members if it is JSON."""

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
    help="The data folder of `orchestrator dev`, searched if no FILE is named.",
)
@shared_options
def logs(shared: Shared, id: str, files: Sequence[str], data: Path) -> None:
    """Show the log records about an instance and its attempts, ordered by time.

    It searches the logs of `orchestrator dev`, or the named FILEs. - is standard input, as in:
    kubectl logs -l app=worker --prefix | orchestrator logs ID -
    """
    log_files = _log_files(files, data)
    with shared.client() as client:
        ids = _ids(client, id)
    matches = sorted(
        (record for file in log_files for record in _matching_records(file, ids)),
        key=lambda record: record.time,
    )
    if not shared.printer.table:
        shared.printer.rows((_row(record) for record in matches), ())
        return
    width = max((len(record.source) for record in matches), default=0)
    for record in matches:
        for line in record.text.splitlines():
            click.echo(f"{record.source:<{width}}  {_printable(line)}")
    if not matches:
        names = ", ".join(map(str, log_files))
        progress_console().print(f"no record about it in {escape(names)}")


def _log_files(files: Sequence[str], data: Path) -> list[Path]:
    """Return the files to search; raise `Failure` if there are none."""
    if files:
        return [Path(name) for name in files]
    log_files = sorted((data / "logs").glob("*.log"))
    if not log_files:
        hint = "Name log files, or pipe them in: kubectl logs ... | orchestrator logs ID -"
        raise Failure(f"there are no logs in {data / 'logs'}", Exit.USAGE, hint)
    return log_files


def _ids(client: Client, text: str) -> frozenset[str]:
    """Return the ids that a record about the instance may contain. Without the API only a full id
    of the instance is searched for: logs matter most when the API does not answer."""
    try:
        id = find_instance(client, text)
        attempts = [attempt.id for step in client.steps(id) for attempt in step.attempts]
    except Unreachable as error:
        if not is_id(text):
            raise
        warning = f"{error}: only records with the id of the instance itself are found"
        progress_console().print(f"[yellow]warning[/] {escape(warning)}")
        return frozenset({text.lower()})
    return frozenset({id, *attempts})


def _matching_records(log_file: Path, ids: frozenset[str]) -> Iterator[LogRecord]:
    """Yield the records of a file that contain one of the ids."""
    for record in records(log_file.stem, _lines(log_file)):
        if any(id in record.text for id in ids):
            yield record


def _lines(log_file: Path) -> Iterator[str]:
    if str(log_file) == "-":
        yield from _text(sys.stdin.buffer)
        return
    with log_file.open("rb") as file:
        yield from _text(file)


def _text(file: IO[bytes]) -> Iterator[str]:
    while line := file.readline(_MAX_RECORD):
        yield line.decode(errors="replace").rstrip("\r\n")


def records(source: str, lines: Iterable[str]) -> Iterator[LogRecord]:
    """Yield the records of a log. A line that begins no record belongs to the record before it."""
    record: list[str] = []
    for line in lines:
        if _BEGIN.match(line) or sum(map(len, record)) > _MAX_RECORD:
            if record:
                yield _record(source, record)
            record = []
        record.append(line)
    if record:
        yield _record(source, record)


def _record(source: str, lines: list[str]) -> LogRecord:
    text, begin = "\n".join(lines), _BEGIN.match(lines[0])
    if begin is None:
        return LogRecord(source, "", text)
    if begin["time"]:
        return LogRecord(source, begin["time"], text)
    try:
        members = json.loads(begin["json"])
    except (ValueError, RecursionError):
        return LogRecord(source, "", text)
    return LogRecord(source, str(members.get("timestamp", "")), text, members)


def _row(record: LogRecord) -> dict[str, Any]:
    if record.members is not None:
        return {"source": record.source, **record.members}
    return {"source": record.source, "timestamp": record.time or None, "message": record.text}


def _printable(line: str) -> str:
    """Escape the characters that could act on the terminal."""
    return "".join(
        char if char.isprintable() or char == "\t" else repr(char)[1:-1] for char in line
    )
