"""Starts that are submitted in other applications' transactions: what a login may do, what becomes
of each row, and that a row and its instance are one."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg2
import psycopg2.errors
import pytest
from click.testing import CliRunner

from orchestrator import clock
from orchestrator.cli import main
from orchestrator.database.access import outbox_grants
from orchestrator.database.connection.database import Database
from orchestrator.database.instances import instance_queries, outbox_queries
from orchestrator.database.instances.instance_queries import NewStart
from orchestrator.database.keyset_pages import Scope
from orchestrator.database.schedules.idle_check import next_due
from orchestrator.start_requests.outbox_mover import OutboxMover
from tests.support.api import Api, document
from tests.support.outbox_logins import outbox_login
from tests.support.row_lock_races import first, racing

ORDER = {"workflow": {"namespace": "shop", "name": "order"}}


@pytest.fixture
def order(api: Api) -> dict[str, Any]:
    """A workflow whose input must have a total."""
    schema = {"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}}
    api.deploy(document("order", input={"schema": {"document": schema}}))
    return {**ORDER, "input": {"total": 5}}


@pytest.fixture
def login(api: Api) -> Iterator[str]:
    with outbox_login(api.database) as url:
        yield url


@pytest.fixture
def app(login: str) -> Iterator[Any]:
    """The application's connection."""
    connection = psycopg2.connect(login)
    yield connection
    connection.close()


@pytest.fixture
def mover(api: Api) -> OutboxMover:
    made: OutboxMover = api.client.application.extensions["orchestrator"].outbox
    return made


def submit(connection: Any, request: Any) -> str:
    """Submit in the open transaction; text is sent as it is."""
    text = request if isinstance(request, str) else json.dumps(request)
    with connection.cursor() as cursor:
        cursor.execute("select orchestrator_outbox.submit(%s::json)::text", (text,))
        return str(cursor.fetchone()[0])


def rows(api: Api) -> int:
    return int(api.all("select count(*) from orchestrator_outbox.starts")[0][0])


# -- what becomes of a row ----------------------------------------------------------------------


def test_a_committed_row_becomes_its_instance_once(api, app, mover, order):
    more = {"business_id": "o-1", "labels": {"shop": "1"}}
    id = submit(app, {**order, **more})
    assert mover.move().count == 0, "it is not committed"
    app.commit()
    assert mover.move().instances == [id]
    assert mover.move().count == 0
    assert rows(api) == 0
    found = api.get(f"/v1/instances/{id}").json
    assert (found["status"], found["input"]) == ("pending", {"total": 5})
    assert (found["business_id"], found["labels"]) == ("o-1", {"shop": "1"})
    started = api.all(
        "select kind, data::text from orchestrator.stimuli where instance_id = %s", id
    )
    assert [(kind, json.loads(data)["by"][:11]) for kind, data in started] == [
        ("start", "outbox:app_")
    ]


def test_a_rolled_back_row_starts_nothing(api, app, mover, order):
    id = submit(app, order)
    app.rollback()
    assert mover.move().count == 0
    assert api.get(f"/v1/instances/{id}").status_code == 404


def test_the_id_is_of_version_7_and_in_order(app, order):
    ids = [uuid.UUID(submit(app, order)) for _ in range(3)]
    assert {id.version for id in ids} == {7}
    assert {id.variant for id in ids} == {uuid.RFC_4122}
    assert [id.int >> 80 for id in ids] == sorted(id.int >> 80 for id in ids)


def test_a_workflow_may_be_a_name_of_the_logins_namespace(api, app, mover, order):
    named = [{**order, "workflow": name} for name in ("order", "shop/order", {"name": "order"})]
    ids = [submit(app, request) for request in named]
    app.commit()
    assert sorted(mover.move().instances) == sorted(ids)


def test_a_start_later_gets_a_timer(api, app, mover, order):
    id = submit(app, {**order, "start_at": "2099-01-01T00:00:00Z"})
    app.commit()
    assert mover.move().instances == [id]
    armed = api.all("select kind from orchestrator.timers where instance_id = %s", id)
    assert armed == [("start",)]


DEEP = '{"workflow": "order", "input": ' + "[" * 300 + "]" * 300 + "}"
POISON = {
    "a text": ('"order"', "not of type"),
    "no workflow": ("{}", "required"),
    "an array": ('[{"workflow": "order"}]', "not of type"),
    "a repeated key": ('{"workflow": "order", "workflow": "order"}', "repeated"),
    "a NUL in a business id": (r'{"workflow": "order", "business_id": "a\u0000"}', "NUL"),
    "half a surrogate": (r'{"workflow": "order", "input": {"total": "\ud800"}}', "surrogate"),
    "too deep": (DEEP, "nested more than 200"),
    "a long integer": ('{"workflow": "order", "input": ' + "9" * 2000 + "}", "2000 digits"),
    "out of range": ('{"workflow": "order", "input": {"total": 1e999}}', "out of range"),
    "an unknown field": ('{"workflow": "order", "prio": 1}', "unknown field 'prio'"),
    "no such workflow": ('{"workflow": "oder"}', "did you mean 'order'"),
    "a foreign namespace": ('{"workflow": "bank/pay"}', "no workflow bank/pay"),
    "an invalid input": ('{"workflow": "order", "input": {}}', "required"),
    "a time without a zone": ('{"workflow": "order", "start_at": "2099-01-01"}', "date-time"),
    "a long label": (json.dumps({"workflow": "order", "labels": {"a": "x" * 300}}), "longer"),
}


@pytest.mark.parametrize("name", POISON)
def test_a_request_that_the_api_refuses_is_a_dead_letter(api, app, mover, order, name):
    text, message = POISON[name]
    good, bad = submit(app, order), submit(app, text)
    app.commit()
    moved = mover.move()
    assert (moved.instances, moved.refused, rows(api)) == ([good], 1, 0)
    (letter,) = api.get(f"/v1/dead-letters?instance={bad}").json["items"]
    assert (letter["reason"], letter["namespace"], letter["step"]) == ("start", "shop", 0)
    assert message in letter["error"]["detail"]
    found = api.get(f"/v1/instances/{bad}")
    assert found.status_code == 404
    assert letter["id"] in found.json["detail"]


def test_the_outbox_accepts_what_the_api_accepts(api):
    """One schema in two places: what `/openapi.json` publishes, and what a beat checks by."""
    from orchestrator.start_requests.request_schema import START

    schemas = api.description.spec["components"]["schemas"]

    def plain(schema: Any) -> Any:
        if isinstance(schema, dict) and "$ref" in schema:
            return plain(schemas[schema["$ref"].rpartition("/")[2]])
        if isinstance(schema, dict):
            return {name: plain(part) for name, part in schema.items() if name != "description"}
        return schema

    assert plain(schemas["Start"]) == START


def test_a_request_beyond_the_setting_is_refused_unread(api, app, mover, order):
    bad = submit(app, {**order, "input": {"total": 1, "note": "x" * (2 << 20)}})
    app.commit()
    assert mover.move().refused == 1
    (letter,) = api.get(f"/v1/dead-letters?instance={bad}").json["items"]
    assert "ORCHESTRATOR_MAX_PAYLOAD" in letter["error"]["detail"]
    assert letter["error"]["type"].endswith(":too-large")


def test_of_one_business_id_the_first_starts(api, app, mover, order):
    """Also where one transaction brings both: the row that can't start stops no other one."""
    keyed = {**order, "business_id": "o-1"}
    one, two, other = submit(app, keyed), submit(app, keyed), submit(app, order)
    app.commit()
    moved = mover.move()
    assert (sorted(moved.instances), moved.refused) == (sorted([one, other]), 1)
    (letter,) = api.get(f"/v1/dead-letters?instance={two}").json["items"]
    assert letter["error"]["type"].endswith(":business-id-in-use")
    assert letter["error"]["errors"][0]["instance"] == one


def test_an_unforeseen_failure_is_a_dead_letter_too(api, app, mover, order, monkeypatch):
    bad, good = submit(app, {**order, "business_id": "bad"}), submit(app, order)
    app.commit()
    real = instance_queries.start

    def start(session: Any, starts: list[NewStart], *more: Any) -> Any:
        if any(each.business_id == "bad" for each in starts):
            raise RuntimeError("unforeseen")
        return real(session, starts, *more)

    monkeypatch.setattr("orchestrator.database.instances.instance_queries.start", start)
    moved = mover.move()
    assert (moved.instances, moved.refused, rows(api)) == ([good], 1, 0)
    assert api.get(f"/v1/dead-letters?instance={bad}").json["items"]


def test_a_newer_version_is_the_one_that_starts(api, app, mover, order):
    mover.move_one(_committed(app, order))  # reads the first version
    api.deploy(document("order", version="2.0.0"))
    id = _committed(app, order)
    mover.move()
    assert api.get(f"/v1/instances/{id}").json["workflow"]["version"] == "2.0.0"


def _committed(app: Any, request: Any) -> str:
    id = submit(app, request)
    app.commit()
    return id


def test_no_namespace_waits_for_another_ones_backlog(api, app, mover, order):
    with outbox_login(api.database, "bank") as url:
        of_bank = document("pay")
        of_bank["document"]["namespace"] = "bank"
        api.deploy(of_bank)
        bank = psycopg2.connect(url)
        for _ in range(5):
            submit(app, order)
        app.commit()
        late = submit(bank, {"workflow": "pay"})
        bank.commit()
        bank.close()
        assert late in mover.move(limit=2).instances


def test_events_after_the_submission_count(api, app, mover, order):
    """ENGINE: a start that committed before an event began hears it."""
    id = _committed(app, order)
    event = {"specversion": "1.0", "type": "t", "source": "s", "id": "1", "data": 1}
    api.post("/v1/events?namespace=shop", json=event, content_type="application/cloudevents+json")
    mover.move()
    (mark, number) = api.all(
        "select i.heard_from, e.receipt_number from orchestrator.instances i, orchestrator.events e"
        " where i.id = %s",
        id,
    )[0]
    assert mark < number


# -- dead letters -------------------------------------------------------------------------------


def _refused(api: Api, app: Any, mover: OutboxMover) -> tuple[str, str]:
    id = _committed(app, {"workflow": "late", "input": {"n": 1}})
    mover.move()
    return id, api.get(f"/v1/dead-letters?instance={id}").json["items"][0]["id"]


def test_a_retried_dead_letter_starts_the_same_instance(api, app, mover):
    id, letter = _refused(api, app, mover)
    assert api.get(f"/v1/dead-letters/{letter}").json["request"] == {
        "workflow": "late",
        "input": {"n": 1},
    }
    again = api.post(f"/v1/dead-letters/{letter}/retry", json={"reason": "try"})
    assert again.status_code == 202
    (second,) = api.get(f"/v1/dead-letters?instance={id}&resolved=false").json["items"]
    assert second["id"] != letter, "it was refused again"
    api.deploy(document("late"))
    api.post(f"/v1/dead-letters/{second['id']}/retry")
    found = api.get(f"/v1/instances/{id}").json
    assert (found["status"], found["input"]) == ("pending", {"n": 1})
    assert api.get("/v1/dead-letters?resolved=false").json["items"] == []
    assert api.post(f"/v1/dead-letters/{letter}/retry").status_code == 409
    actions = api.all("select action from orchestrator.audit_log")
    assert ("dead-letter.retry",) in actions


def test_a_resolved_dead_letter_starts_nothing(api, app, mover):
    id, letter = _refused(api, app, mover)
    assert api.post(f"/v1/dead-letters/{letter}/resolve").status_code == 202
    api.deploy(document("late"))
    assert (rows(api), mover.move().count) == (0, 0)
    assert api.get(f"/v1/instances/{id}").status_code == 404


def test_a_bulk_retry_reaches_refused_starts(api, app, mover):
    from orchestrator.scheduler.bulk_operations import Operations

    id, _ = _refused(api, app, mover)
    api.deploy(document("late"))
    body = {"action": "dead-letter.retry", "filter": {"namespace": "shop"}}
    assert api.post("/v1/operations", json=body).status_code == 202
    services = api.client.application.extensions["orchestrator"].services
    for job in Operations(api.database, services.dispatcher).jobs():
        job.run()
    assert mover.move().instances == [id]


def test_resolved_ones_are_purged_and_open_ones_stay(api, app, mover):
    _, resolved = _refused(api, app, mover)
    _, open_ = _refused(api, app, mover)
    api.post(f"/v1/dead-letters/{resolved}/resolve")
    assert outbox_queries.purge(api.database, 30) == 0
    api.all("update orchestrator.dead_letters set resolved_at = resolved_at - interval '40 days'")
    assert outbox_queries.purge(api.database, 30) == 1
    assert [row["id"] for row in api.get("/v1/dead-letters").json["items"]] == [open_]


# -- reads and commands before a beat has moved it ----------------------------------------------


def test_a_request_that_names_a_committed_id_finds_it(api, app, order):
    id = submit(app, order)
    assert api.get(f"/v1/instances/{id}").status_code == 404
    app.commit()
    assert api.get(f"/v1/instances/{id}").json["status"] == "pending"
    assert rows(api) == 0


@pytest.mark.parametrize("path", ["/steps", "/history", "/why", "/graph"])
def test_so_does_each_part_of_it(api, app, order, path):
    assert api.get(f"/v1/instances/{_committed(app, order)}{path}").status_code == 200


def test_a_command_to_a_committed_id_is_decided(api, app, order):
    id = _committed(app, order)
    answer = api.post(f"/v1/instances/{id}/terminate", headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json["status"]) == (202, "cancelled")


def test_another_namespaces_id_is_not_there_and_not_moved(api, app, mover, order):
    id = _committed(app, order)
    assert mover.move_one(id, Scope(("bank",))).count == 0
    assert outbox_queries.refusal_of(api.database, id, Scope(("bank",))) is None
    assert rows(api) == 1


# -- privileges (what a login may do, and what decides the namespace) ---------------------------


def test_a_login_has_one_function_and_no_table(app, order):
    for statement in (
        "select * from orchestrator_outbox.starts",
        "insert into orchestrator_outbox.logins values (session_user, 'bank')",
        "delete from orchestrator_outbox.starts",
        "select * from orchestrator.instances",
        "create table orchestrator_outbox.mine (a int)",
        "create function orchestrator_outbox.mine() returns int return 1",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            app.cursor().execute(statement)
        app.rollback()
    assert uuid.UUID(submit(app, order)).version == 7


def test_a_login_without_a_namespace_submits_nothing(api):
    with outbox_login(api.database, None) as url:
        login = url.partition("//")[2].partition(":")[0]
        api.all(f"grant usage on schema orchestrator_outbox to {login}")
        connection = psycopg2.connect(url)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="permission denied"):
            submit(connection, ORDER)
        connection.rollback()
        api.all(f"grant execute on function orchestrator_outbox.submit(json) to {login}")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="db grants"):
            submit(connection, ORDER)
        connection.close()


def test_set_role_changes_no_namespace(api, app, mover, order):
    """The login decides, not the role that it takes on."""
    with outbox_login(api.database, "bank") as url:
        bank = url.partition("//")[2].partition(":")[0]
        login = api.all("select login from orchestrator_outbox.logins where namespace = 'shop'")
        api.all(f"grant {bank} to {login[0][0]}")
        app.cursor().execute(f"set role {bank}")
        id = submit(app, order)
        app.commit()
        assert mover.move().instances == [id]
        assert api.get(f"/v1/instances/{id}").json["workflow"]["namespace"] == "shop"


def test_a_search_path_leads_the_function_nowhere_else(api, app, order):
    """It runs with its owner's rights: a function of the caller's must not replace one of its."""
    login = api.all("select login from orchestrator_outbox.logins")[0][0]
    api.all(f"create schema trap authorization {login}")
    try:
        with app.cursor() as cursor:
            cursor.execute(
                "create function trap.octet_length(text) returns int language plpgsql as"
                " $$ begin raise exception 'trapped'; end $$;"
                " create function trap.gen_random_uuid() returns uuid language plpgsql as"
                " $$ begin raise exception 'trapped'; end $$;"
                " set search_path = trap, pg_catalog"
            )
        assert uuid.UUID(submit(app, order)).version == 7
    finally:
        app.rollback()
        api.all("drop schema trap cascade")


def test_the_function_makes_the_id(api, app, mover, order):
    """An id of the caller's is an unknown field: it takes no other start's place."""
    taken = _committed(app, order)
    thief = submit(app, {**order, "id": taken})
    app.commit()
    assert mover.move().instances == [taken]
    (letter,) = api.get(f"/v1/dead-letters?instance={thief}").json["items"]
    assert "unknown field 'id'" in letter["error"]["detail"]


def test_rows_and_bytes_are_bounded_for_good(api, order):
    with outbox_login(api.database, max_rows=3) as url:
        connection = psycopg2.connect(url)
        for _ in range(4):
            submit(connection, order)
        with pytest.raises(psycopg2.errors.ConfigurationLimitExceeded, match="wait in the outbox"):
            submit(connection, order)
        connection.rollback()
        with pytest.raises(psycopg2.errors.ProgramLimitExceeded, match="bytes"):
            submit(connection, json.dumps({"input": "x" * (65 << 20)}))
        connection.rollback()
        with pytest.raises(psycopg2.errors.InvalidTextRepresentation):
            submit(connection, "{not json")
        connection.close()


def test_a_trigger_submits(api, login, mover, order):
    name = login.partition("//")[2].partition(":")[0]
    api.all(f"create schema app authorization {name}")
    connection = psycopg2.connect(login)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "create table app.orders (total int);"
                " create function app.ordered() returns trigger language plpgsql as $$ begin"
                "  perform orchestrator_outbox.submit(json_build_object('workflow', 'order',"
                "   'input', json_build_object('total', new.total))); return new; end $$;"
                " create trigger ordered after insert on app.orders"
                " for each row execute function app.ordered();"
                " insert into app.orders values (1), (2)"
            )
        connection.commit()
        assert len(mover.move().instances) == 2
    finally:
        connection.close()
        api.all("drop schema app cascade")


# -- grants -------------------------------------------------------------------------------------


def grants(url: str, *arguments: str) -> Any:
    return CliRunner().invoke(main, ["db", "grants", *arguments, "--database-url", url])


def test_grants_are_given_printed_and_taken_away(api):
    with outbox_login(api.database, None) as url:
        login = url.partition("//")[2].partition(":")[0]
        printed = grants(api.database.url, login, "--namespace", "shop", "--print")
        assert outbox_grants.logins(api.database) == {}
        api.all(printed.stdout)
        assert outbox_grants.logins(api.database) == {login: "shop"}
        done = grants(api.database.url, login, "--namespace", "bank")
        assert (done.exit_code, outbox_grants.logins(api.database)) == (0, {login: "bank"})
        connection = psycopg2.connect(url)
        submit(connection, ORDER)
        connection.rollback()
        assert grants(api.database.url, login, "--revoke").exit_code == 0
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            submit(connection, ORDER)
        connection.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody_at_all", "--namespace", "shop"), "no role 'nobody_at_all'"),
        (("pg_monitor", "--namespace", "shop"), "is a group"),
        (("x", "--namespace", "Not One"), "not a namespace"),
        (("x",), "--namespace NAME, or --revoke"),
        (("x", "--namespace", "shop", "--revoke"), "--namespace NAME, or --revoke"),
    ],
)
def test_wrong_grants_are_refused(api, arguments, message):
    refused = grants(api.database.url, *arguments)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert outbox_grants.logins(api.database) == {}


# -- interleavings ------------------------------------------------------------------------------


def test_of_two_movers_each_row_falls_to_one(api, app, mover, order):
    one, two = _committed(app, order), _committed(app, order)
    with first(api.database) as transaction:
        assert outbox_queries.lock(transaction, [one]) == {one}
        assert mover.move().instances == [two], "the locked row is left to who has it"
    assert mover.move().instances == [one]


def test_a_read_waits_for_the_mover_that_has_the_row_and_finds_what_it_made(api, app, mover, order):
    id = _committed(app, order)
    with racing(api.database) as racers:
        with first(api.database) as transaction:
            assert outbox_queries.lock(transaction, [id]) == {id}
            reader = racers.start(mover.move_one, id)
            workflow = api.all("select id::text from orchestrator.workflows")[0][0]
            new = NewStart(id, workflow, False, "{}")
            instance_queries.start(transaction, [new], clock.now(), "by")
            outbox_queries.delete(transaction, [id])
        assert reader.result().count == 0
    assert len(api.all("select 1 from orchestrator.instances where id = %s", id)) == 1


def test_a_mover_that_dies_before_its_commit_leaves_the_row(api, app, mover, order, monkeypatch):
    id = _committed(app, order)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("orchestrator.database.instances.outbox_queries.delete", die)
        with pytest.raises(KeyboardInterrupt):
            mover.move()
    assert (rows(api), api.all("select id from orchestrator.instances")) == (1, [])
    assert mover.move().instances == [id]


def test_a_business_id_that_is_taken_meanwhile_is_a_dead_letter(api, app, mover, order):
    id = _committed(app, {**order, "business_id": "o-1"})
    workflow = api.all("select id::text from orchestrator.workflows")[0][0]
    with racing(api.database) as racers:
        with first(api.database) as transaction:
            new = NewStart(str(uuid.uuid4()), workflow, False, "{}", "o-1")
            instance_queries.start(transaction, [new], clock.now(), "by")
            moving = racers.start(mover.move)
        assert moving.result().refused == 1
    assert "is taken by" in api.get(f"/v1/instances/{id}").json["detail"]


def test_an_open_transaction_delays_nobody(api, app, mover, order):
    """It holds its row for as long as it likes: starts, removals, feeds and other rows go on."""
    submit(app, order)
    with outbox_login(api.database) as url:
        other = psycopg2.connect(url)
        id = submit(other, order)
        other.commit()
        other.close()
    assert mover.move().instances == [id]
    api.deploy(document("spare"))
    assert api.delete("/v1/workflows/shop/spare/versions/1.0.0").status_code == 204
    started = api.start("order", input={"total": 1}, business_id="o-1")
    assert api.get(f"/v1/instances/{started}/history").status_code == 200
    assert api.get("/v1/events").status_code == 200
    feed = Database(api.database.url, size=1)
    locks = feed.all(
        "select relation::regclass::text, mode from pg_locks l join pg_stat_activity a using (pid)"
        " where a.pid = %s and relation::regclass::text like 'orchestrator%%'",
        (app.info.backend_pid,),
    )
    feed.close()
    held: dict[str, str] = dict(locks)
    assert set(held.values()) <= {"AccessShareLock", "RowExclusiveLock"}
    assert not any(name in held for name in ("orchestrator.instances", "orchestrator.workflows"))
    app.rollback()


def test_a_beat_at_rest_sees_that_a_row_is_due(api, app, order):
    assert next_due(api.database) is None
    _committed(app, order)
    seconds = next_due(api.database)
    assert seconds is not None
    assert seconds < 0
