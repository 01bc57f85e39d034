"""What comes from outside commands neither the terminal nor the shell that it is pasted into."""

from __future__ import annotations

import json
import logging
import re
import shlex
import subprocess
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.markup import escape
from ruamel.yaml import YAML

from orchestrator.cli import main
from orchestrator.cli.exit_codes import Failure
from orchestrator.cli.output import Printer, progress_console, stdout_console
from orchestrator.cli.safe_console import SafeConsole
from orchestrator.cli.views.history_lines import error_line
from orchestrator.cli.views.step_tree import step_tree
from orchestrator.client import Run, Step
from orchestrator.database.operations.consistency_checks import Row
from orchestrator.doctor.inconsistencies import KINDS
from orchestrator.doctor.report import finding_of
from orchestrator.log import formatter
from orchestrator.terminal_text import fill_command, visible

#: Each would do something to a terminal: C0, DEL, C1, the direction of writing, half a pair.
HARMFUL = [
    *map(chr, (0, 7, 8, 11, 12, 13, 27, 0x7F, 0x85, 0x9B, 0x9D)),
    *map(chr, (0x200F, 0x2028, 0x202E, 0x2066, 0x61C, 0xFEFF)),
]
EVIL = "a\x1b]0;owned\x07\x1b[2J\x9b31m\u202eb" + "".join(HARMFUL) + "é漢"
HARM = re.compile("[" + "".join(map(re.escape, [*HARMFUL, "\ud800"])) + "]")
ID = "01900000-0000-7000-8000-000000000001"


def harmless(text: str) -> None:
    found = HARM.search(text)
    assert found is None, (found, text)
    assert "é漢" in text or "\\u00e9" in text


@pytest.mark.parametrize("format", ["json", "jsonl", "yaml", "table"])
def test_every_format_of_a_command(format: str, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"id": ID, "status": EVIL, "business_id": EVIL, "deep": {EVIL: [EVIL]}}
    Printer(format).rows([row], tuple(row))
    Printer(format).value(row)
    text = capsys.readouterr().out
    harmless(text)
    if format == "table":
        first = text.partition("\n")[0]
        assert first.split() == ["ID", "STATUS", "BUSINESS", "ID", "DEEP"]


@pytest.mark.parametrize("format", ["json", "yaml"])
def test_programs_are_given_the_very_text(format: str, capsys: pytest.CaptureFixture[str]) -> None:
    alone = [f"x{each}y" for each in HARMFUL]
    value = {"a": EVIL, EVIL: [EVIL, "plain", 1], "b": alone, **dict.fromkeys(alone, 1)}
    Printer(format).value(value)
    text = capsys.readouterr().out
    harmless(text)
    read = json.loads(text) if format == "json" else YAML(typ="safe", pure=True).load(text)
    assert read == value


def test_half_a_pair_is_printed_too(capsys: pytest.CaptureFixture[str]) -> None:
    Printer("json").value("\ud800")
    Printer("table").rows([{"a": "\ud800"}], ("a",))
    assert "\\ud800" in capsys.readouterr().out


def test_trees_lines_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    said = f"{EVIL}\n✓ all is well"
    step = {
        "id": 1,
        "parent": 0,
        "reference": "/do/0/x",
        "name": said,
        "kind": "call",
        "status": "faulted",
        "error": {"detail": said, "status": 500},
        "attempts": [],
    }
    run = Run(ID, EVIL, "1.0.0", "faulted", "none")
    for console in (stdout_console(), progress_console(), SafeConsole(force_terminal=False)):
        console.print(step_tree(run, [Step.from_json(step)]))
        console.print(f"[red]{escape(error_line({'title': EVIL, 'detail': said}))}[/]")
        console.print(escape(EVIL), EVIL, soft_wrap=True)
    Failure(EVIL, hint=EVIL).show()
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        harmless(text)
        assert not [line for line in text.splitlines() if line.startswith("✓")]


def test_a_terminal_still_has_its_colours() -> None:
    printed = StringIO()
    console = SafeConsole(file=printed, force_terminal=True, legacy_windows=False, highlight=False)
    console.print(f"[red]{escape(EVIL)}[/]", soft_wrap=True)
    text = printed.getvalue()
    assert text.startswith("\x1b[31ma\\x1b]0;owned")
    assert text.endswith("é漢\x1b[0m\n")


def test_a_document_of_somebody_elses(tmp_path: Path) -> None:
    document = tmp_path / "x.json"
    name = json.dumps(EVIL + "/x")
    head = '{"document": {"dsl": "1.0.3", "namespace": "n", "name": "n", "version": "1.0.0"},'
    document.write_text(
        head + f'"do": [{{{name}: {{"set": {{"a": 1}}, "then": {name}, "cal": 1}}}}]}}'
    )
    for arguments in (["validate", str(document)], ["graph", str(document)]):
        done = CliRunner().invoke(main, arguments)
        assert not HARM.search(done.output), done.output


def test_no_command_goes_past_the_safe_ways_out() -> None:
    """Every console is a safe one, and `click.echo` prints nothing from outside."""
    folder = Path(main.callback.__code__.co_filename).parent  # type: ignore[union-attr]
    for file in sorted(folder.rglob("*.py")):
        text = file.read_text()
        assert not re.search(r"(?<!Safe)Console\((?!\))", text) or file.name == "safe_console.py", (
            file
        )
        assert not re.search(r"(?<!\.)\bprint\((?!f\"\{booking)", text), file


# -- commands to paste --------------------

PAYLOADS = ["a; touch OWNED", "$(touch OWNED)", "`touch OWNED`", "a'b", "a b", "\x1b[2J", "-rf"]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_value_in_a_command_is_one_word(payload: str, tmp_path: Path) -> None:
    line = fill_command("printf %s%s {queue} x", {"queue": payload})
    done = subprocess.run(
        line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{visible(payload)}x"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.advice], ids=lambda one: one.name)
def test_what_doctor_advises_is_quoted(kind: Any) -> None:
    names = dict.fromkeys(re.findall(r"\{(\w+)\}", f"{kind.message} {kind.advice}"), PAYLOADS[0])
    composed = {"worker": "orchestrator worker", "modules": "X", "meant": ""}
    row = Row(ID, PAYLOADS[0], 3, {**names, **{k: v for k, v in composed.items() if k in names}})
    advice = str(finding_of(kind, row, "unrepaired").advice)
    assert shlex.quote(PAYLOADS[0]) in advice or PAYLOADS[0] not in advice
    assert PAYLOADS[0] not in advice.replace(shlex.quote(PAYLOADS[0]), "")


# -- logs --------------------


def test_a_log_line_of_a_terminal_commands_it_by_no_member() -> None:
    handler = logging.StreamHandler(printed := StringIO())
    handler.setFormatter(formatter(as_json=False))
    logger = logging.getLogger("tests.outside_text")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        raise ValueError(EVIL)
    except ValueError:
        logger.exception(EVIL, extra={"queue": f"{EVIL}\nforged"})
    finally:
        logger.removeHandler(handler)
    text = printed.getvalue()
    assert not HARM.search(text), text
    assert "forged" not in [line.strip() for line in text.splitlines()]
    assert "Traceback" in text and text.count("\n") > 3
