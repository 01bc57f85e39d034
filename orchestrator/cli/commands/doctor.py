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
from orchestrator.settings import Settings, load_settings

if TYPE_CHECKING:
    from orchestrator.doctor.finding import Finding

_COLOURS = {"ok": "green", "note": "dim", "repaired": "green"}

#: Largest number of findings of one check in a table; the other formats show all rows.
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
    from orchestrator.cli.commands.installation_checks import check_installation
    from orchestrator.doctor.finding import shortened

    settings = _settings(data)
    findings = list(check_installation(shared, settings))
    if all(each.state == "ok" for each in findings if each.check == "database"):
        findings += _inconsistencies(settings, repair)
    if shared.printer.table:
        _show(list(shortened(findings, _MAX_ROWS)))
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


def _inconsistencies(settings: Settings, repair: bool) -> Iterator[Finding]:
    from orchestrator.doctor.examination import examine
    from orchestrator.doctor.report import report

    with examine(settings) as examination:
        yield from report(examination, repair=repair)
