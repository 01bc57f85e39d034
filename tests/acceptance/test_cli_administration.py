"""Workers, queues, keys and dead letters, from the command line."""

from __future__ import annotations

import json


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
