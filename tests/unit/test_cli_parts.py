"""The command line's parts that need no server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from rich.console import Console
from ruamel.yaml import YAML

from orchestrator.cli import main, options
from orchestrator.cli.commands.mermaid_graph import Flowchart
from orchestrator.cli.exit_codes import Exit, exit_of, failure_of
from orchestrator.cli.options import JsonValue, KeyValue, PastTime
from orchestrator.cli.output import Printer
from orchestrator.cli.views.history_lines import facts_of, stimulus_of
from orchestrator.cli.views.step_details import step_lines
from orchestrator.cli.views.step_tree import step_tree
from orchestrator.client import ApiError, Run, Step
from orchestrator.document.model import Workflow

ID = "01900000-0000-7000-8000-000000000001"
ROWS: list[dict[str, Any]] = [
    {"id": ID, "status": "completed", "note": None},
    {"id": ID, "status": "faulted", "note": [1]},
]


def run(status: str, compensation: str = "none") -> Run:
    return Run(ID, "shop/order", "1.0.0", status, compensation)


@pytest.mark.parametrize(
    ("status", "compensation", "expected"),
    [
        ("completed", "none", 0),
        ("faulted", "none", 1),
        ("faulted", "failed", 1),
        ("faulted", "running", 6),
        ("waiting", "none", 6),
        ("cancelled", "completed", 7),
        ("faulted", "completed", 8),
    ],
)
def test_the_exit_status_tells_how_an_instance_stands(status, compensation, expected):
    assert exit_of(run(status, compensation)) == expected


@pytest.mark.parametrize(
    ("http", "expected"),
    [(400, 2), (422, 2), (409, 2), (413, 2), (404, 3), (401, 4), (403, 4), (503, 5)],
)
def test_a_refusal_has_the_exit_status_of_its_kind(http, expected):
    assert failure_of(ApiError(http, {"title": "no"})).exit_code == expected


def test_the_one_reason_of_a_refusal_is_said_once():
    said = "there is no workflow a/b"
    one = {"pointer": "/workflow", "message": said}
    assert (
        failure_of(ApiError(404, {"detail": said, "errors": [one]})).message
        == f"{said} (/workflow)"
    )
    two = [one, {"pointer": "/input", "message": "too large"}]
    found = failure_of(ApiError(422, {"detail": f"{said} (and 1 more)", "errors": two})).message
    assert found.splitlines()[1:] == [f"  /workflow: {said}", "  /input: too large"]


def test_every_command_that_is_listed_can_be_loaded():
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.get_short_help_str()


def test_a_near_miss_is_named():
    result = CliRunner().invoke(main, ["deplyo", "x.yaml"])
    assert result.exit_code == Exit.USAGE
    assert "Did you mean 'deploy'?" in result.stderr


def test_an_api_that_does_not_run_exits_5_and_says_how_to_start_one():
    result = CliRunner().invoke(main, ["--url", "http://127.0.0.1:9", "show", ID])
    assert result.exit_code == Exit.UNREACHABLE
    assert result.stdout == ""
    assert "http://127.0.0.1:9 does not answer" in result.stderr
    assert "orchestrator dev" in result.stderr


def test_a_table_cuts_nothing_where_there_is_no_terminal(capsys):
    Printer("table").rows([{"id": ID, "note": "x" * 300}], ("id", "note"))
    out = capsys.readouterr().out
    assert ID in out
    assert "x" * 300 in out


def test_the_same_rows_as_json_lines_and_yaml(capsys):
    Printer("json").rows(ROWS, ())
    assert json.loads(capsys.readouterr().out) == ROWS
    Printer("jsonl").rows(ROWS, ())
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS
    Printer("yaml").rows(ROWS, ())
    assert capsys.readouterr().out.startswith("- id: " + ID)


def test_an_input_is_json_or_a_file_of_json_or_yaml(tmp_path: Path):
    file = tmp_path / "input.yaml"
    file.write_text("id: o-1\nlines: [1, 2]\n")
    kind = JsonValue()
    assert kind.convert('{"a": 1}', None, None) == {"a": 1}
    assert kind.convert(f"@{file}", None, None) == {"id": "o-1", "lines": [1, 2]}
    with pytest.raises(click.BadParameter, match="write @file to read a file"):
        kind.convert("input.yaml", None, None)
    with pytest.raises(click.BadParameter, match="No such file"):
        kind.convert("@nowhere.json", None, None)


def test_a_label_has_a_key_and_a_value():
    assert KeyValue().convert("team=a=b", None, None) == ("team", "a=b")
    with pytest.raises(click.BadParameter, match="key=value"):
        KeyValue().convert("team", None, None)


def flowchart(text: str, **statuses: str) -> list[str]:
    document = {
        "document": {"namespace": "t", "name": "t", "version": "1"},
        "do": YAML().load(text),
    }
    return [line.strip() for line in Flowchart(Workflow(document), statuses).lines()]


def test_a_flowchart_follows_the_flow_directives():
    lines = flowchart(
        """
        - pick: { switch: [ { big: { when: .x, then: last } }, { small: { then: exit } } ] }
        - middle: { set: {}, then: pick }
        - last: { call: shop.refund, metadata: { compensate: { call: 'shop.un"do' } } }
        """
    )
    assert '"pick<br/><small>switch</small>"' in lines[2]
    assert 't3>"undo: shop.un#34;do"]' not in lines  # ids are given in the order of the nodes
    assert 't4>"undo: shop.un#34;do"]' in lines
    assert {
        "start --> t1",
        't1 -->|"big"| t3',
        't1 -->|"small"| finish',
        "t2 --> t1",
        "t3 --> finish",
        "t3 -.-> t4",
    } <= set(lines)
    assert len([line for line in lines if line.startswith("t1 -->")]) == 2


def test_a_flowchart_of_an_instance_shows_how_far_each_task_is():
    statuses = {"/do/0/a": "completed", "/do/1/b": "waiting"}
    lines = flowchart("[{a: {set: {}}}, {b: {wait: {days: 1}}}]", **statuses)
    assert "class t1 completed" in lines
    assert "class t2 waiting" in lines


@pytest.mark.parametrize(
    ("state", "printed"), [("lost", "outcome unknown"), ("failed", "its work was done")]
)
def test_a_step_says_whether_its_work_was_done(state: str, printed: str):
    step = {"id": 1, "reference": "/do/0/pay", "name": "pay", "kind": "call", "status": "faulted"}
    attempt = {"id": ID, "number": 1, "state": state}
    shown = StringIO()
    made = Step.from_json({**step, "outcome": "unknown", "attempts": [attempt]})
    Console(file=shown, width=200).print(step_tree(run("faulted"), [made]))
    assert printed in shown.getvalue()


def test_a_step_shows_its_sub_workflow_and_what_was_recorded_of_its_attempt():
    step = {"id": 1, "reference": "/do/0/pay", "name": "pay", "kind": "run", "status": "running"}
    made = Step.from_json({**step, "child": ID, "recorded": "succeeded"})
    shown = StringIO()
    Console(file=shown, width=200).print(step_tree(run("suspended"), [made]))
    assert f"sub-workflow {ID}" in shown.getvalue()
    assert "its attempt succeeded; it continues after resume" in shown.getvalue()


def test_a_step_links_to_its_page_in_flower():
    attempt = {"id": ID, "number": 1, "state": "succeeded", "flower_url": f"http://f/task/{ID}"}
    step = {"id": 1, "reference": "/do/0/pay", "name": "pay", "kind": "call", "status": "completed"}
    printed = StringIO()
    console = Console(file=printed, force_terminal=True, legacy_windows=False)
    console.print(step_tree(run("completed"), [Step.from_json({**step, "attempts": [attempt]})]))
    assert f"http://f/task/{ID}" in printed.getvalue()


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2030-01-31T12:00:00Z", "2030-01-31T12:00:00Z"),
        ("2030-01-31T12:00:00+02:00", "2030-01-31T10:00:00Z"),
        ("2030-01-31", "2030-01-31T00:00:00Z"),
        ("90s", "2029-12-31T23:58:30Z"),
        ("15m", "2029-12-31T23:45:00Z"),
        ("2h", "2029-12-31T22:00:00Z"),
        ("7d", "2029-12-25T00:00:00Z"),
        ("1w", "2029-12-25T00:00:00Z"),
    ],
)
def test_a_time_may_be_so_long_ago(monkeypatch: pytest.MonkeyPatch, text: str, time: str):
    monkeypatch.setattr(options, "now", lambda: datetime(2030, 1, 1, tzinfo=UTC))
    assert PastTime().convert(text, None, None) == time


ERROR = {"title": "declined", "status": 402, "detail": "the card is empty"}


def entry(type: str, data: Any = None, stimulus: Any = None) -> dict[str, Any]:
    fact = {"type": type, "step": None, "data": data}
    return {"sequence": 1, "at": "2026-01-01T00:00:00Z", "stimulus": stimulus, "facts": [fact]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, ""),
        ({"in": 2.5, "retry": 3, "error": ERROR},
         "again in 2.5 s  retry 3  declined (402) · the card is empty"),
        ({"in": 0, "error": None}, "again at once"),
        ({"attempt": 2, "error": ERROR}, "attempt 2  declined (402) · the card is empty"),
        ({"run": 2, "from": 4, "by": "ann", "reason": "paid"}, "run 2  from 4  by ann: paid"),
        ({"by": 7}, ""),  # a step that undid it
        ({"reason": "too late"}, "too late"),
        ({"error": ERROR, "unknown": True},
         "the outcome is unknown  declined (402) · the card is empty"),
    ],
)  # fmt: skip
def test_history_tells_reason_delay_and_who(data: Any, said: str):
    (fact,) = facts_of(entry("task.retried", data))
    assert fact.details() == said


def test_history_tells_which_command_it_was():
    printed = {"command": "suspend", "by": "ann", "reason": "lunch"}
    for stimulus, said in (
        ({"kind": "command", "data": printed}, "command suspend by ann: lunch"),
        ({"kind": "timer", "data": {"kind": "retry"}}, "timer"),
        ({"kind": "result"}, "result"),
    ):
        assert stimulus_of(entry("x", stimulus=stimulus)) == said


def attempt(number: int, state: str, **more: Any) -> dict[str, Any]:
    return {"id": ID, "number": number, "state": state, "task": "pay", "queue": "q", **more}


STEP: dict[str, Any] = {
    "id": 3,
    "reference": "/do/0/pay",
    "name": "pay",
    "kind": "call",
    "status": "completed",
    "arguments": {"task": "pay", "args": [1], "kwargs": {"pin": "***"}},
    "input": {"n": 1},
    "child": "01900000-0000-7000-8000-00000000000c",
    "skipped": {"at": "2026-01-01T00:00:00Z", "by": "ann", "reason": "paid in cash"},
    "attempts": [
        attempt(1, "failed", worker="w1@h", error=ERROR, traceback="Traceback\n  Declined: no"),
        attempt(2, "lost", error={"title": "lost", "status": 500}),
    ],
}


def test_a_step_is_shown_whole():
    lines = list(step_lines(Step.from_json(STEP)))
    text = "\n".join(lines)
    for said in (
        "pay  call  completed  /do/0/pay  (step 3)",
        "skipped by ann: paid in cash",
        f"sub-workflow: {STEP['child']}",
        '"pin": "***"',
        "attempt 1 failed  on w1@h  declined (402) · the card is empty",
        "    Declined: no",
        "attempt 2 lost  lost (500)",
    ):
        assert said in text, text


def test_the_tree_shows_each_attempts_error_who_skipped_and_the_sub_workflow():
    console = Console(file=StringIO(), width=200)
    console.print(step_tree(run("completed"), [Step.from_json(STEP)]))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"sub-workflow {STEP['child']}" in text
    assert "skipped by ann: paid in cash" in text
    assert "attempt 1 failed  on w1@h  declined (402) · the card is empty" in text
    assert "attempt 2 lost  lost (500)" in text
