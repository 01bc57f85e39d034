"""`logs ID`: every record about an instance and its attempts, whole, in the order of time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli import main
from orchestrator.cli.commands import instance_logs
from orchestrator.client import Client, Run, Step

ID = "01900000-0000-7000-8000-000000000001"
ATTEMPT = "01900000-0000-7000-8000-0000000000a1"
OTHER = "01900000-0000-7000-8000-0000000000ff"

WORKER = f"""\
 -------------- worker-1@vm v5.7.0
2026-01-01T00:00:02.000000Z [info     ] Task pay[{ATTEMPT}] received [celery] attempt={ATTEMPT}
2026-01-01T00:00:04.000000Z [error    ] Task pay[{ATTEMPT}] raised: \x1b[31mDeclined
Traceback (most recent call last):
  File "pay.py", line 7, in pay
Declined: no
2026-01-01T00:00:05.000000Z [error    ] Task pay[{OTHER}] raised: Other
Traceback (most recent call last):
Other: no
"""
API = "\n".join(
    json.dumps({"timestamp": at, "level": "info", "message": said, "instance": id})
    for at, said, id in (
        ("2026-01-01T00:00:03.000000Z", "second", ID),
        ("2026-01-01T00:00:01.000000Z", "first", ID),
        ("2026-01-01T00:00:01.500000Z", "of another", OTHER),
    )
)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of a `dev` that has run one instance."""
    folder = tmp_path / ".orchestrator" / "logs"
    folder.mkdir(parents=True)
    (folder / "worker-1.log").write_text(WORKER)
    (folder / "api.log").write_text(API + "\n{broken\n")
    monkeypatch.chdir(tmp_path)
    attempt = {"id": ATTEMPT, "number": 1, "state": "failed"}
    named = {"id": 1, "reference": "/do/0/pay", "name": "pay", "kind": "call", "status": "faulted"}
    steps = [Step.from_json({**named, "attempts": [attempt]})]
    found = [Run(ID, "shop/order", "1.0.0", "faulted")]
    monkeypatch.setattr(Client, "instances", lambda *_, **__: iter(found))
    monkeypatch.setattr(Client, "steps", lambda *_: steps)
    return folder


def logs(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, ["logs", *words], input=stdin)


def test_records_of_all_files_come_in_the_order_of_time(data: Path):
    done = logs(ID)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["api", "worker-1", "api", *["worker-1"] * 4]
    assert "first" in lines[0]
    assert "received" in lines[1]
    assert "second" in lines[2]
    assert lines[6].endswith("Declined: no")
    assert OTHER not in done.stdout
    assert "\x1b" not in done.stdout
    assert "\\x1b[31mDeclined" in done.stdout


def test_a_program_gets_the_members_of_each_record(data: Path):
    rows = [json.loads(line) for line in logs(ID, "-o", "jsonl").stdout.splitlines()]
    assert [row["source"] for row in rows] == ["api", "worker-1", "api", "worker-1"]
    assert rows[0]["message"] == "first"
    assert rows[3]["message"].endswith("Declined: no")
    assert rows[3]["timestamp"] == "2026-01-01T00:00:04.000000Z"


def test_files_and_standard_input_may_be_named(data: Path):
    assert "Declined: no" in logs(ID, str(data / "worker-1.log")).stdout
    prefixed = "\n".join(f"[pod/worker-1] {line}" for line in API.splitlines())
    done = logs(ID, "-", stdin=prefixed)
    assert ["first" in line for line in done.stdout.splitlines()] == [True, False]


def test_nothing_to_search_is_said(data: Path, tmp_path: Path):
    done = logs(ID, "--data", str(tmp_path / "none"))
    assert done.exit_code == 2
    assert "there are no logs in" in done.stderr
    assert "kubectl logs" in done.stderr
    assert logs(ID, "nowhere.log").exit_code == 2
    done = logs(ID, "-", stdin="nothing\n")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no record about it" in done.stderr


def test_without_the_api_the_instances_own_records_are_found(
    data: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.undo()
    monkeypatch.chdir(data.parent.parent)
    done = logs("--url", "http://127.0.0.1:9", ID)
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["api", "api"]
    assert "does not answer" in done.stderr
    assert logs("--url", "http://127.0.0.1:9", "short").exit_code == 5


def test_a_record_without_an_end_is_cut(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(instance_logs, "_MAX_RECORD", 10)
    found = list(instance_logs.records("x", ["2026-01-01T00:00:00Z a", *["y" * 8] * 9]))
    assert len(found) > 2
