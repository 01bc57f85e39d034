"""``/v1/secrets``: taken, used by steps, listed by name, rotated, and never seen again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orchestrator.database.access import secret_queries
from orchestrator.secrets.encryption import SecretCipher, new_key
from orchestrator.settings import load_settings
from tests.support.api import Api, problem

KEY, OLD = new_key(), new_key()
VALUE = "s3cret-value"


@pytest.fixture(scope="module")
def _keyed(module_database_url: str) -> Iterator[Api]:
    made = Api.on(module_database_url, "redis://127.0.0.1:1/0", secrets_key=(KEY, OLD))
    yield made
    made.close()


@pytest.fixture
def api(_keyed: Api) -> Iterator[Api]:
    """The application, with encryption keys."""
    yield _keyed
    _keyed.empty()


def put(api: Api, name: str, value: object, namespace: str = "shop"):
    return api("put", f"/v1/secrets/{name}?namespace={namespace}", json={"value": value})


def seen(api: Api, name: str, namespace: str = "shop") -> object:
    """What a worker finds."""
    services = api.client.application.extensions["orchestrator"].services
    return services.secrets.get(namespace, name, services.database)


def everything(api: Api) -> str:
    """All that stands in the database."""
    found = []
    for table in api.content():
        found += api.all(f"select t::text from orchestrator.{table} t")
    return str(found)


def test_a_secret_is_taken_listed_by_name_and_used(api: Api):
    made = put(api, "api-token", VALUE)
    assert made.status_code == 201
    assert put(api, "db", {"user": "u", "password": VALUE}).status_code == 201
    listed = api.get("/v1/secrets?namespace=shop")
    assert [each["name"] for each in listed.json["items"]] == ["api-token", "db"]
    assert VALUE not in made.text + listed.text
    assert seen(api, "api-token") == VALUE
    assert seen(api, "db") == {"user": "u", "password": VALUE}
    assert seen(api, "api-token", "bank") is None


def test_the_next_use_has_the_new_value(api: Api):
    put(api, "token", "one")
    assert put(api, "token", "two").status_code == 200
    assert seen(api, "token") == "two"
    assert api.delete("/v1/secrets/token?namespace=shop").status_code == 204
    assert seen(api, "token") is None
    again = api.delete("/v1/secrets/token?namespace=shop")
    assert (again.status_code, problem(again)) == (404, "not-found")


def test_text_that_is_json_is_given_as_that(api: Api):
    put(api, "db", '{"user": "u"}')
    assert seen(api, "db") == {"user": "u"}


def test_nothing_in_the_database_shows_it(api: Api):
    put(api, "token", VALUE)
    assert VALUE not in everything(api)
    log = api.get("/v1/audit").json["items"]
    assert [(each["action"], each["target"]) for each in log] == [("secret.set", "token")]


def test_one_secret_is_not_passed_off_as_another(api: Api):
    put(api, "mine", VALUE, "bank")
    put(api, "token", "other")
    api.all("update orchestrator.secrets set ciphertext = (select ciphertext"
            " from orchestrator.secrets where name = 'mine') where name = 'token'")  # fmt: skip
    assert seen(api, "token") is None


def test_rotation_seals_with_the_newest_key(api: Api):
    ciphertext = SecretCipher([OLD]).encrypt(("shop", "old"), VALUE)
    secret_queries.put(api.database, "shop", "old", ciphertext)
    secret_queries.put(
        api.database, "shop", "lost", SecretCipher([new_key()]).encrypt(("shop", "lost"), VALUE)
    )
    assert seen(api, "old") == VALUE
    rotated = api.post("/v1/secrets/-/rotate")
    assert rotated.json == {"rotated": 1, "unreadable": [["shop", "lost"]]}
    newest = SecretCipher([KEY])
    assert secret_queries.read_decrypted(api.database, newest, "shop", "old") == VALUE
    assert seen(api, "lost") is None


def test_what_is_refused(api: Api):
    refused = {
        "a long one": (put(api, "token", "x" * 70_000), 413, "too-large"),
        "no text": (put(api, "token", 7), 422, "invalid-request"),
        "none": (put(api, "token", None), 422, "invalid-request"),
        "a path": (put(api, "a%2e%2e%20b", VALUE), 422, "invalid-request"),
        "no namespace": (
            api("put", "/v1/secrets/token", json={"value": "v"}), 422, "invalid-request",
        ),
        "a bad namespace": (put(api, "token", VALUE, "A_B"), 400, "invalid-query"),
    }  # fmt: skip
    for name, (answer, status, kind) in refused.items():
        assert (answer.status_code, problem(answer)) == (status, kind), name
    assert api.content()["secrets"] == 0


def test_without_a_key_nothing_is_taken(module_database_url: str):
    api = Api.on(module_database_url, "redis://127.0.0.1:1/0")
    answer = put(api, "token", VALUE)
    assert (answer.status_code, problem(answer)) == (409, "no-secrets-key")
    api.close()


def test_keys_come_from_a_file_with_one_a_line(tmp_path):
    (tmp_path / "keys").write_text(f"{KEY}\n{OLD}\n")
    settings = load_settings({"ORCHESTRATOR_SECRETS_KEY_FILE": str(tmp_path / "keys")})
    assert KEY not in repr(settings)
    ciphertext = SecretCipher([OLD]).encrypt(("shop", "a"), VALUE)
    assert SecretCipher(settings.secrets_key).decrypt(("shop", "a"), ciphertext) == VALUE


@pytest.mark.parametrize("method", ["put", "delete"])
def test_a_secret_is_never_only_tried(api: Api, method: str):
    """A dry run that would change something is refused, not carried out."""
    assert put(api, "pin", VALUE).status_code in (200, 201, 204)
    body = {"json": {"value": "another"}} if method == "put" else {}
    answer = api(method, "/v1/secrets/pin?namespace=shop&dry_run=true", **body)
    assert answer.status_code == 400
    assert seen(api, "pin") == VALUE
