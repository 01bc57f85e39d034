"""Workers, queues, keys and dead letters, from the command line."""

from __future__ import annotations

import json

import pytest


def test_workers_and_queues_are_listed(cli):
    workers = json.loads(cli("worker", "list", "-o", "json").stdout)
    assert {worker["name"].partition("@")[0] for worker in workers} >= {"worker-1", "worker-2"}
    assert "worker-1@" in cli("worker", "list").stdout
    queues = json.loads(cli("queue", "list", "-o", "json").stdout)
    assert {"celery", "orchestrator"} <= {queue["name"] for queue in queues}


def test_a_key_is_shown_once_listed_without_its_secret_and_revoked(cli):
    made = json.loads(cli("key", "create", "ci", "--role", "viewer", "-o", "json").stdout)
    listed = json.loads(cli("key", "list", "-o", "json").stdout)
    assert made["id"] in {key["id"] for key in listed}
    assert made["key"] not in json.dumps(listed)
    revoked = cli("key", "revoke", made["id"])
    assert revoked.returncode == 0, revoked.stderr
    assert cli("key", "revoke", made["id"]).returncode == 3


def test_there_are_no_dead_letters_and_an_unknown_one_is_not_found(cli):
    assert json.loads(cli("dead-letter", "list", "-o", "json").stdout) == []
    missing = cli("dead-letter", "resolve", "01900000-0000-7000-8000-000000000001")
    assert missing.returncode == 3


@pytest.mark.slow
def test_a_secret_is_set_from_stdin_and_only_its_name_is_listed(cli):
    made = cli("secret", "set", "card-api", "--namespace", "shop", input="s3cret\n")
    assert made.returncode == 0, made.stderr
    listed = cli("secret", "list", "-o", "json").stdout
    assert [each["name"] for each in json.loads(listed)] == ["card-api"]
    assert "s3cret" not in listed + made.stdout + made.stderr
    assert json.loads(cli("secret", "rotate", "-o", "json").stdout)["rotated"] == 1
    assert cli("secret", "delete", "card-api", "--namespace", "shop").returncode == 0
    assert cli("secret", "delete", "card-api", "--namespace", "shop").returncode == 3


@pytest.mark.slow
def test_a_bulk_operation_reaches_many_instances(cli, tmp_path):
    waits = {
        "document": {"dsl": "1.0.3", "namespace": "many", "name": "waits", "version": "1.0.0"},
        "do": [{"pause": {"wait": {"hours": 1}}}],
    }
    (tmp_path / "waits.json").write_text(json.dumps(waits))
    assert cli("deploy", str(tmp_path / "waits.json")).returncode == 0
    ids = [cli("start", "many/waits").stdout.strip() for _ in range(3)]
    query = "workflow=many/waits&status=pending,running,waiting"
    done = cli("cancel", "--query", query, "--yes", "--reason", "over")
    assert done.returncode == 0, done.stderr
    (operation,) = json.loads(cli("operation", "list", "-o", "json").stdout)
    state = [operation[name] for name in ("action", "state", "reached")]
    assert state == ["cancel", "completed", 3]
    for id in ids:
        assert cli("watch", id).returncode == 7
    shown = json.loads(cli("operation", "show", operation["id"], "-o", "json").stdout)
    outcomes = shown.pop("outcomes")
    assert shown == operation
    assert (outcomes["exact"], outcomes["moved"], sum(outcomes.values()) - 1) == (True, 3, 3)
    again = cli("cancel", "--query", query, "--yes")
    assert (again.returncode, "nothing matches" in again.stderr) == (0, True)
    assert cli("operation", "stop", operation["id"]).returncode != 0


@pytest.mark.slow
def test_workflows_are_listed_read_back_and_removed(cli, tmp_path):
    text = "document: {dsl: 1.0.3, namespace: read, name: back, version: 1.0.%d}  # as it was\n"
    for patch in (1, 2):
        (tmp_path / "back.yaml").write_text(text % patch + "do: [{a: {set: {x: 1}}}]\n")
        assert cli("deploy", "back.yaml").returncode == 0
    listed = json.loads(cli("workflow", "list", "--namespace", "read", "-o", "json").stdout)
    assert [(each["name"], each["version"]) for each in listed] == [("back", "1.0.2")]
    assert cli("workflow", "show", "read/back").stdout == (tmp_path / "back.yaml").read_text()
    assert "1.0.1" in cli("workflow", "show", "read/back", "--version", "1.0.1").stdout
    versions = json.loads(cli("workflow", "versions", "read/back", "-o", "json").stdout)
    assert [each["version"] for each in versions] == ["1.0.2", "1.0.1"]
    assert cli("workflow", "delete", "read/back", "--version", "1.0.1").returncode == 0
    assert cli("workflow", "delete", "read/back", input="n\n").returncode == 2
    assert cli("workflow", "show", "read/back").returncode == 0
    assert cli("workflow", "delete", "read/back", "--yes").returncode == 0
    for words in (("show",), ("versions",), ("delete", "--yes")):
        assert cli("workflow", *words, "read/back").returncode == 3


@pytest.mark.slow
def test_an_instance_is_found_by_business_id_and_attempt_and_its_logs_are(cli, dev, tmp_path):
    (tmp_path / "found.yaml").write_text(
        "document: {dsl: 1.0.3, namespace: read, name: found, version: 1.0.0}\n"
        "do: [{pay: {call: shop.tasks.refund, with: {nothing: 7}}}]\n"
    )
    done = cli("run", "found.yaml", "--business-id", "found-1", "-o", "json")
    assert done.returncode == 1, done.stderr
    shown = json.loads(cli("show", "found-1", "-o", "json").stdout)
    (step,) = shown["steps"]
    assert step["arguments"] == {"task": "shop.tasks.refund", "args": [], "kwargs": {"nothing": 7}}
    attempt = step["attempts"][0]["id"]
    for name in (shown["id"], shown["id"][:-2], attempt):
        assert json.loads(cli("show", name, "-o", "json").stdout)["id"] == shown["id"]
    whole = cli("show", "found-1", "pay").stdout
    assert '"nothing": 7' in whole
    assert "TypeError" in whole
    assert attempt in whole
    said = cli("logs", "found-1", "--data", str(dev.data)).stdout
    assert attempt in said
    assert "TypeError" in said
