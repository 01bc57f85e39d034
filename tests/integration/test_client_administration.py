"""The client's secrets and operations, and what it compensates, on the real API over a socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cli import main
from orchestrator.client import ApiError, Client
from orchestrator.database.access import secret_queries
from orchestrator.scheduler import bulk_operations as working
from orchestrator.scheduler.bulk_operations import Operations
from orchestrator.secrets.encryption import SecretCipher, new_key
from tests.support.api import Api, document
from tests.support.manual_workers import SAGA, Outside

VALUE = "s3cret-value"
WAIT = {"wait": {"wait": {"hours": 1}}}
RUNS = {"workflow": "shop/order"}


@pytest.fixture(scope="module")
def _application(module_database_url: str) -> Iterator[Api]:
    made = Api.on(module_database_url, "redis://127.0.0.1:1/0", secrets_key=(new_key(),))
    yield made
    made.close()


@pytest.fixture
def client(served: str) -> Iterator[Client]:
    with Client(served) as made:
        yield made


def work(api: Api, rounds: int = 10) -> None:
    """What the beats do."""
    services = api.client.application.extensions["orchestrator"].services
    jobs = Operations(api.database, services.dispatcher)
    while rounds and jobs.work() == working.BUSY_INTERVAL:
        rounds -= 1


def test_a_secret_is_set_listed_rotated_and_deleted(api: Api, client: Client) -> None:
    made = client.set_secret("db", {"user": "u", "password": VALUE}, "shop")
    assert (made.namespace, made.name, made.created_at) == ("shop", "db", made.changed_at)
    again = client.set_secret("db", VALUE, "shop")
    assert again.created_at == made.created_at
    client.set_secret("token", VALUE, "bank")
    assert [each.name for each in client.secrets()] == ["token", "db"]
    assert list(client.secrets("shop")) == [again]
    assert VALUE not in repr(list(client.secrets()))
    told = client.rotate_secrets()
    assert (told.rotated, told.unreadable) == (2, ())
    lost = SecretCipher([new_key()]).encrypt(("shop", "db"), VALUE)
    secret_queries.put(api.database, "shop", "db", lost)
    assert client.rotate_secrets().unreadable == (("shop", "db"),)
    client.delete_secret("db", "shop")
    assert [each.name for each in client.secrets("shop")] == []
    with pytest.raises(ApiError) as refused:
        client.delete_secret("db", "shop")
    assert refused.value.status == 404


def test_what_is_no_name_of_a_secret_stays_within_its_path(client: Client) -> None:
    for name in ("../workflows", "..", "a/b", "-/rotate", "ä b"):
        with pytest.raises(ApiError) as refused:
            client.set_secret(name, VALUE, "shop")
        assert refused.value.status in (404, 405, 422)
    assert list(client.secrets()) == []


def test_an_operation_is_previewed_made_and_followed(api: Api, client: Client) -> None:
    api.deploy(document(do=[WAIT]))
    ids = {api.start() for _ in range(3)}
    preview = client.preview("cancel", RUNS)
    assert (preview.action, preview.count) == ("cancel", 3)
    assert {each["id"] for each in preview.sample} == ids
    assert list(client.operations()) == []
    made = client.operate("cancel", RUNS, reason="closed")
    assert (made.state, made.matches, made.reached, made.filter) == ("pending", 3, 0, RUNS)
    assert (made.by, made.reason, made.ended) == ("anonymous", "closed", False)
    assert client.wait_operation(made.id, 0) == made
    work(api)
    ended = client.wait_operation(made.id, 30)
    assert (ended.state, ended.reached, ended.ended) == ("completed", 3, True)
    assert ended.ended_at is not None
    assert list(client.operations(state="completed")) == [ended]
    assert list(client.operations(state="running")) == []
    assert client.operation(made.id) == ended


def test_an_operation_is_stopped_once(api: Api, client: Client) -> None:
    made = client.operate("suspend", RUNS)
    stopped = client.stop_operation(made.id)
    assert (stopped.state, stopped.reached) == ("stopped", 0)
    with pytest.raises(ApiError) as refused:
        client.stop_operation(made.id)
    assert refused.value.status == 409
    with pytest.raises(ApiError) as wrong:
        client.operate("explode", RUNS)
    assert wrong.value.status == 422


def test_an_instance_is_undone_back_to_a_step(outside: Outside, client: Client) -> None:
    id = outside.start(SAGA)
    assert outside.work(id) == ["a", "b", "c"]
    client.compensate(id, step=outside.step(id, "a")["id"], reason="only b")
    assert outside.work(id) == ["undo-b"]


def test_an_error_of_a_document_is_told_once(served: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(
        "document: {dsl: '1.0.3', namespace: shop, name: x, version: '1.0.0'}\n"
        "do:\n- a: {cal: t}\n- b: {set: {x: 1}, then: nowhere}\n"
    )
    for command in ("deploy", "run"):
        told = CliRunner().invoke(main, ["--url", served, command, str(file)]).output
        assert told.count("3:7: ") == 1, told
        assert "The document is not a valid workflow" in told


def test_what_was_left_out_by_a_start_time_is_mentioned(api: Api, served: str) -> None:
    api.deploy(document())
    id = api.start()
    shown = CliRunner().invoke(main, ["--url", served, "list", "--since", "1h"])
    assert id not in shown.stdout
    assert "have not started are not listed: orchestrator list --status pending" in shown.stderr
    shown = CliRunner().invoke(main, ["--url", served, "list"])
    assert (id in shown.stdout, shown.stderr) == (True, "")
