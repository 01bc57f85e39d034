"""`doctor`: compares the state in Postgres with the broker and the workers, and repairs it.

    orchestrator doctor            # checks, and says what --repair would do
    orchestrator doctor --repair   # repairs, and checks again

Without --repair it changes nothing.
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
from orchestrator.cli.terminal_text import fill_command
from orchestrator.settings import Settings, load_settings

if TYPE_CHECKING:
    from orchestrator.cli.doctor.examination import Examination
    from orchestrator.cli.doctor.inconsistencies import Inconsistency
    from orchestrator.cli.doctor.installation_checks import Finding
    from orchestrator.database.operations.consistency_checks import Row

_COLOURS = {"ok": "green", "note": "dim", "repaired": "green"}

#: Largest number of rows of one inconsistency in a table; the other formats show all rows.
_MAX_ROWS = 20


@click.command(short_help="Check the installation, and repair its state.")
@click.option("--repair", is_flag=True, help="Repair what can be repaired; without it, only check.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".orchestrator"),
    show_default=True,
    help="The data folder of `orchestrator dev`: its addresses replace those not set.",
)
@shared_options
def doctor(shared: Shared, repair: bool, data: Path) -> None:
    """Check settings, database, broker, API and tasks. Then compare Postgres with broker and
    workers: find lost, orphaned, stuck and misrouted work.

    Exits 0 if everything is right, 5 if a needed server does not answer, 1 for another problem
    that was not repaired.
    """
    from orchestrator.cli.doctor.installation_checks import check_installation

    settings = _settings(data)
    findings = list(check_installation(shared, settings))
    if all(each.state == "ok" for each in findings if each.check == "database"):
        findings += _inconsistencies(settings, repair, shared.printer.table)
    if shared.printer.table:
        _show(findings)
    else:
        shared.printer.rows([dataclasses.asdict(each) for each in findings], ())
    states = {each.state for each in findings}
    if "failed" in states:
        exit_with(Exit.UNREACHABLE)
    exit_with(Exit.FAULTED if states & {"inconsistent", "unrepaired"} else Exit.COMPLETED)


def _show(findings: list[Finding]) -> None:
    """Print a line for each finding: state, check, result. Its advice follows on a line of its
    own."""
    console = stdout_console()
    widest = max(len(each.check) for each in findings)
    longest = max(len(each.state) for each in findings)
    for each in findings:
        colour = _COLOURS.get(each.state, "red")
        where = f"[cyan]{each.instance}[/] " if each.instance else ""
        start = f"[{colour}]{each.state:<{longest}}[/] {each.check:<{widest}} {where}"
        console.print(start + escape(each.found), soft_wrap=True)
        if each.advice:
            console.print(f"{' ' * longest} [dim]→[/] {escape(each.advice)}", soft_wrap=True)


def _settings(data: Path) -> Settings:
    """Return the settings, with the addresses of a running `orchestrator dev` where none are
    set."""
    settings, defaults = load_settings(), Settings()
    try:
        running = json.loads((data / "dev.json").read_text())
    except (OSError, ValueError):
        return settings
    names = ("database_url", "broker_url", "api_url")
    addresses = {
        name: running[name]
        for name in names
        if running.get(name) and getattr(settings, name) == getattr(defaults, name)
    }
    if addresses:
        progress_console().print(f"[dim]checking the installation of {data}/dev.json[/]")
    return dataclasses.replace(settings, **addresses)


def _inconsistencies(settings: Settings, repair: bool, table: bool) -> Iterator[Finding]:
    from orchestrator.cli.doctor import process_checks
    from orchestrator.cli.doctor.examination import examine
    from orchestrator.cli.doctor.inconsistencies import KINDS

    with examine(settings) as examination:
        yield from process_checks.check_processes(examination)
        for kind in KINDS:
            rows = kind.find(examination)
            shown = rows[:_MAX_ROWS] if table else rows
            yield from _findings(examination, kind, rows, shown, repair)


def _findings(
    examination: Examination,
    kind: Inconsistency,
    rows: list[Row],
    shown: list[Row],
    repair: bool,
) -> Iterator[Finding]:
    remaining = _repair(examination, kind, rows) if repair and rows and kind.repair else rows
    keys = {(row.subject, row.step) for row in remaining}
    for row in shown:
        state = "repaired"
        if (row.subject, row.step) in keys:
            state = "unrepaired" if repair else "inconsistent"
        yield _finding(kind, row, state)
    if len(shown) < len(rows):
        yield dataclasses.replace(
            _finding(kind, rows[-1], "unrepaired" if remaining else "repaired"),
            found=f"and {len(rows) - len(shown)} more of this kind",
            instance=None,
            step=None,
        )


def _repair(examination: Examination, kind: Inconsistency, rows: list[Row]) -> list[Row]:
    """Repair the rows; return those that are found again afterwards."""
    from orchestrator.cli.doctor.examination import still_inconsistent

    assert kind.repair is not None  # noqa: S101  the caller checks
    kind.repair(examination, rows)
    return still_inconsistent(examination, kind.find, rows)


def _finding(kind: Inconsistency, row: Row, state: str) -> Finding:
    from orchestrator.cli.doctor.installation_checks import Finding

    values = {"instance": row.instance, "subject": row.subject, "step": row.step, **row.about}
    advice = fill_command(kind.advice, values) if kind.advice else None
    repairable = kind.repair is not None and row.about.get("repairable", True)
    if state == "inconsistent" and repairable:
        advice = "; ".join(filter(None, (f"--repair: {kind.repair_text}", advice)))
    if state == "repaired":
        advice = kind.repair_text
    return Finding(kind.name, kind.message_for(row), advice, state, row.instance, row.step)
