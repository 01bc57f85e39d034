"""`validate` checks documents locally, `deploy` sends them to the API."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.syntax import Syntax

from orchestrator.cli.exit_codes import Exit, Failure, exit_with
from orchestrator.cli.options import Shared, shared_options
from orchestrator.cli.output import progress_console, say, stdout_console
from orchestrator.client import ApiError, Client, Deployed
from orchestrator.terminal_text import visible_lines

_files = click.argument(
    "files", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path)
)


@click.command(short_help="Check documents without any server.")
@_files
@shared_options
def validate(shared: Shared, files: Sequence[Path]) -> None:
    """Check documents without any server: `order.yaml:24:7: unknown key ...`.

    Exits 2 if one is not valid.
    """
    from orchestrator.document import DocumentError, load

    findings: list[dict[str, Any]] = []
    invalid = False
    for file in files:
        try:
            warnings = load(read(file), media_type(file)).warnings
            findings += [_finding(file, vars_of(problem), "warning") for problem in warnings]
        except DocumentError as error:
            invalid = True
            findings += [_finding(file, vars_of(problem), "error") for problem in error.problems]
    if shared.printer.table:
        for finding in findings:
            say(_line(finding))
        if not invalid:
            progress_console().print("[green]valid[/]")
    else:
        shared.printer.rows(findings, ())
    exit_with(Exit.USAGE if invalid else Exit.COMPLETED)


@click.command()
@_files
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@shared_options
def deploy(shared: Shared, files: Sequence[Path], dry_run: bool) -> None:
    """Deploy documents. A deployed version never changes."""
    rows = []
    with shared.client() as client:
        for file in files:
            deployed = deploy_file(client, file, dry_run)
            if dry_run and shared.printer.table:
                _show_difference(client, file, deployed)
            rows.append(_row(file, deployed, dry_run))
    if not (dry_run and shared.printer.table):
        shared.printer.rows(rows, ("workflow", "version", "state"))


def deploy_file(client: Client, file: Path, dry_run: bool = False) -> Deployed:
    """Deploy one file and print its warnings on stderr.

    Raises `Failure` with file, line and column of every error.
    """
    source = read(file)
    try:
        deployed = client.deploy(source, dry_run=dry_run)
    except ApiError as error:
        if not error.errors:
            raise
        lines = [_line(_finding(file, problem, "error")) for problem in error.errors]
        title = str(error.problem.get("title") or error)  # the detail is the first line again
        raise Failure("\n".join([title, *lines]), Exit.USAGE) from error
    for warning in deployed.warnings:
        finding = _finding(file, warning, "warning")
        progress_console().print(f"[yellow]warning[/] {escape(_line(finding, level=False))}")
    return deployed


def read(file: Path) -> bytes:
    """Return a file's bytes; raise `Failure` with the reason if it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}", Exit.USAGE) from error


def media_type(file: Path) -> str:
    """Return the media type that the file name's ending stands for."""
    return "application/json" if file.suffix == ".json" else "application/yaml"


def vars_of(problem: Any) -> dict[str, Any]:
    """A `Problem` in the JSON form of the API."""
    return {name: getattr(problem, name) for name in ("pointer", "line", "column", "message")}


def _finding(file: Path, problem: Mapping[str, Any], level: str) -> dict[str, Any]:
    return {"file": str(file), "level": level, **problem}


def _line(finding: Mapping[str, Any], level: bool = True) -> str:
    position = [finding["file"], finding.get("line"), finding.get("column")]
    where = ":".join(str(part) for part in position if part is not None)
    warning = "warning: " if level and finding["level"] == "warning" else ""
    return f"{where}: {warning}{finding['message']}"


def _row(file: Path, deployed: Deployed, dry_run: bool) -> dict[str, Any]:
    state = "valid" if dry_run else "deployed" if deployed.new else "unchanged"
    return {
        "file": str(file),
        "workflow": deployed.workflow,
        "version": deployed.version,
        "state": state,
        "warnings": list(deployed.warnings),
    }


def _show_difference(client: Client, file: Path, deployed: Deployed) -> None:
    """Print a unified diff from the newest deployed version of the workflow to the file."""
    deployed_text = client.source(deployed.workflow)
    name = f"{deployed.workflow} {deployed.version}"
    if deployed_text is None:
        say(f"{name}: new workflow")
        return
    lines = list(_difference(deployed_text, read(file).decode(), str(file)))
    if not lines:
        say(f"{name}: unchanged")
        return
    console = stdout_console()
    if console.is_terminal:
        console.print(Syntax(visible_lines("\n".join(lines)), "diff", background_color="default"))
    else:
        say("\n".join(lines))


def _difference(deployed_text: str, file_text: str, name: str) -> Iterable[str]:
    return difflib.unified_diff(
        deployed_text.splitlines(), file_text.splitlines(), "deployed", name, lineterm=""
    )
