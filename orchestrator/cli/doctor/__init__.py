"""`doctor`: compares what Postgres says with the broker and the workers, and mends.

orchestrator doctor            # looks, and says what it would do
orchestrator doctor --repair   # does it, and looks again
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from orchestrator.cli.exit_codes import Exit, exit_with
from orchestrator.cli.options import Shared, shared_options
from orchestrator.cli.output import progress_console, stdout_console
from orchestrator.cli.terminal_text import command
from orchestrator.settings import Settings, load_settings

if TYPE_CHECKING:
    from orchestrator.cli.doctor.examination import Examination
    from orchestrator.cli.doctor.inconsistencies import Inconsistency
    from orchestrator.cli.doctor.installation_checks import Finding
    from orchestrator.database.operations.consistency_checks import Row

_COLOURS = {"ok": "green", "note": "dim", "mended": "green"}

#: Rows of one kind that a table shows; the other formats show all that was looked at.
_MOST_SHOWN = 20


@click.command(short_help="Look for what is wrong, and mend it.")
@click.option("--repair", is_flag=True, help="Mend what can be mended; without it, only look.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".orchestrator"),
    show_default=True,
    help="Where `orchestrator dev` keeps its data: its addresses count where no setting says more.",
)
@shared_options
def doctor(shared: Shared, repair: bool, data: Path) -> None:
    """Look at settings, database, broker, API and tasks, then compare Postgres with broker and
    workers: what is lost, orphaned, stuck or misrouted.

    Exits 0 if all is well, 5 if something that is needed does not answer, 1 if something else
    is wrong that was not mended.
    """
    from orchestrator.cli.doctor.installation_checks import look

    settings = _settings(data)
    findings = list(look(shared, settings))
    if all(each.state == "ok" for each in findings if each.check == "database"):
        findings += _ailments(settings, repair, shared.printer.table)
    if shared.printer.table:
        _show(findings)
    else:
        shared.printer.rows([dataclasses.asdict(each) for each in findings], ())
    states = {each.state for each in findings}
    if "failed" in states:
        exit_with(Exit.UNREACHABLE)
    exit_with(Exit.FAULTED if states & {"found", "left"} else Exit.COMPLETED)


def _show(findings: list[Finding]) -> None:
    """A line a finding, for people: its state, what was looked at, what was found; below it what
    to do."""
    console = stdout_console()
    widest = max(len(each.check) for each in findings)
    for each in findings:
        colour = _COLOURS.get(each.state, "red")
        where = f"[cyan]{each.instance}[/] " if each.instance else ""
        line = f"[{colour}]{each.state:<6}[/] {each.check:<{widest}} {where}{escape(each.found)}"
        console.print(line, soft_wrap=True)
        if each.advice:
            console.print(f"       [dim]→[/] {escape(each.advice)}", soft_wrap=True)


def _settings(data: Path) -> Settings:
    """The settings; the addresses of a running `orchestrator dev` where none are set."""
    settings, plain = load_settings(), Settings()
    try:
        running = json.loads((data / "dev.json").read_text())
    except (OSError, ValueError):
        return settings
    names = ("database_url", "broker_url", "api_url")
    found = {
        name: running[name]
        for name in names
        if running.get(name) and getattr(settings, name) == getattr(plain, name)
    }
    if found:
        progress_console().print(f"[dim]looking at the installation of {data}/dev.json[/]")
    return dataclasses.replace(settings, **found)


def _ailments(settings: Settings, repair: bool, table: bool) -> Iterator[Finding]:
    from orchestrator.cli.doctor import process_checks
    from orchestrator.cli.doctor.examination import examination
    from orchestrator.cli.doctor.inconsistencies import KINDS

    with examination(settings) as looking:
        yield from process_checks.look(looking)
        for kind in KINDS:
            rows = kind.find(looking)
            shown = rows[:_MOST_SHOWN] if table else rows
            yield from _told(looking, kind, rows, shown, repair)


def _told(
    looking: Examination, kind: Inconsistency, rows: list[Row], shown: list[Row], repair: bool
) -> Iterator[Finding]:
    left = _mended(looking, kind, rows) if repair and rows and kind.repair else rows
    keys = {(row.subject, row.step) for row in left}
    for row in shown:
        state = "mended"
        if (row.subject, row.step) in keys:
            state = "left" if repair else "found"
        yield _finding(kind, row, state)
    if len(shown) < len(rows):
        yield dataclasses.replace(
            _finding(kind, rows[-1], "left" if left else "mended"),
            found=f"and {len(rows) - len(shown)} more of this kind",
            instance=None,
            step=None,
        )


def _mended(looking: Examination, kind: Inconsistency, rows: list[Row]) -> list[Row]:
    """Mend the rows; those that are found once more are left."""
    from orchestrator.cli.doctor.examination import still_inconsistent

    assert kind.repair is not None  # noqa: S101  the caller looks
    kind.repair(looking, rows)
    return still_inconsistent(looking, kind.find, rows)


def _finding(kind: Inconsistency, row: Row, state: str) -> Finding:
    from orchestrator.cli.doctor.installation_checks import Finding

    told = {"instance": row.instance, "subject": row.subject, "step": row.step, **row.about}
    advice = command(kind.advice, told) if kind.advice else None
    if state == "found" and kind.repair is not None:
        advice = "; ".join(filter(None, (f"--repair: {kind.repair_text}", advice)))
    if state == "mended":
        advice = kind.repair_text
    return Finding(kind.name, kind.message_for(row), advice, state, row.instance, row.step)
