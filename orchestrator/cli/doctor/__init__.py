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

from orchestrator.cli.exits import Exit, leave
from orchestrator.cli.options import Shared, shared_options
from orchestrator.cli.output import progress_console, stdout_console
from orchestrator.cli.terminal import command
from orchestrator.settings import Settings, load_settings

if TYPE_CHECKING:
    from orchestrator.cli.doctor.installation import Finding
    from orchestrator.cli.doctor.kinds import Kind
    from orchestrator.cli.doctor.ward import Ward
    from orchestrator.database.ailments import Row

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
    from orchestrator.cli.doctor.installation import look

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
        leave(Exit.UNREACHABLE)
    leave(Exit.FAULTED if states & {"found", "left"} else Exit.COMPLETED)


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
    from orchestrator.cli.doctor import processes
    from orchestrator.cli.doctor.kinds import KINDS
    from orchestrator.cli.doctor.ward import ward

    with ward(settings) as looking:
        yield from processes.look(looking)
        for kind in KINDS:
            rows = kind.find(looking)
            shown = rows[:_MOST_SHOWN] if table else rows
            yield from _told(looking, kind, rows, shown, repair)


def _told(
    looking: Ward, kind: Kind, rows: list[Row], shown: list[Row], repair: bool
) -> Iterator[Finding]:
    left = _mended(looking, kind, rows) if repair and rows and kind.mend else rows
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


def _mended(looking: Ward, kind: Kind, rows: list[Row]) -> list[Row]:
    """Mend the rows; those that are found once more are left."""
    from orchestrator.cli.doctor.ward import settle

    assert kind.mend is not None  # noqa: S101  the caller looks
    kind.mend(looking, rows)
    return settle(looking, kind.find, rows)


def _finding(kind: Kind, row: Row, state: str) -> Finding:
    from orchestrator.cli.doctor.installation import Finding

    told = {"instance": row.instance, "subject": row.subject, "step": row.step, **row.about}
    advice = command(kind.advice, told) if kind.advice else None
    if state == "found" and kind.mend is not None:
        advice = "; ".join(filter(None, (f"--repair: {kind.remedy}", advice)))
    if state == "mended":
        advice = kind.remedy
    return Finding(kind.name, kind.tell(row), advice, state, row.instance, row.step)
