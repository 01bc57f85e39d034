"""The API for tests: the real application on real servers, each answer held to its description."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
from celery import Celery
from flask.testing import FlaskClient

from api.app import create_app
from orchestrator import bootstrap
from orchestrator.broker_settings import celery_settings
from orchestrator.database.connection.database import Database
from orchestrator.settings import Settings

#: The table of the migrations' own.
VERSION = "schema_version"
METHODS = ("get", "post", "put", "patch", "delete")


class Description:
    """The API's own description, to check answers by."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self._paths = [
            (re.compile(re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(path))), operations)
            for path, operations in spec["paths"].items()
        ]

    def check(self, method: str, path: str, answer: Any) -> None:
        """Assert that the answer is one that the description promises."""
        operation = self._operation(method, path)
        if operation is None:
            assert answer.status_code in {400, 404, 405}, (method, path, answer.status_code)
            return
        told = operation["responses"].get(str(answer.status_code))
        assert told, f"{method} {path} answers an undocumented {answer.status_code}: {answer.text}"
        content = told.get("content", {}).get(answer.mimetype)
        if answer.data and answer.mimetype.endswith("json"):
            assert content, f"{method} {path} answers an undocumented {answer.mimetype}"
            self._validator(content["schema"]).validate(answer.json)
        else:
            assert not answer.data or content, f"{method} {path} answers {answer.mimetype}"

    def _operation(self, method: str, path: str) -> Any:
        # A path without placeholders comes first: it is what the router takes.
        found = [operations for pattern, operations in self._paths if pattern.fullmatch(path)]
        return next((each[method] for each in found if method in each), None)

    def _validator(self, schema: dict[str, Any]) -> jsonschema_rs.Validator:
        return jsonschema_rs.Draft202012Validator(
            {**schema, "components": self.spec["components"]}, validate_formats=True
        )


@dataclass
class Api:
    """A client of one application. Tests read the effects through `database`."""

    client: FlaskClient
    database: Database
    description: Description
    headers: dict[str, str]

    @classmethod
    def on(cls, database_url: str, broker_url: str, **options: Any) -> Api:
        """The application on these servers; options are settings and `create_app`'s."""
        names = {"authenticate", "rate", "waits", "streams"} & options.keys()
        made = {name: options.pop(name) for name in names}
        settings = Settings(database_url=database_url, broker_url=broker_url, **options)
        celery = Celery(set_as_current=False)
        celery.conf.update(celery_settings(settings))
        services = bootstrap.services(settings, celery)
        client = create_app(services, **made).test_client()
        spec: Any = client.get("/openapi.json").json
        return cls(client, services.database, Description(spec), {})

    def close(self) -> None:
        """Stop what the application started."""
        self.client.application.extensions["orchestrator"].close()

    def __call__(self, method: str, path: str, **options: Any) -> Any:
        """One request, its answer checked."""
        headers = {**self.headers, **(options.pop("headers", None) or {})}
        answer = self.client.open(path, method=method.upper(), headers=headers, **options)
        if method in METHODS:
            self.description.check(method, path.partition("?")[0], answer)
        return answer

    def get(self, path: str, **options: Any) -> Any:
        """GET."""
        return self("get", path, **options)

    def post(self, path: str, **options: Any) -> Any:
        """POST."""
        return self("post", path, **options)

    def patch(self, path: str, **options: Any) -> Any:
        """PATCH."""
        return self("patch", path, **options)

    def delete(self, path: str, **options: Any) -> Any:
        """DELETE."""
        return self("delete", path, **options)

    def deploy(self, document: dict[str, Any]) -> Any:
        """Deploy a document that must be new."""
        answer = self.post("/v1/workflows", json=document)
        assert answer.status_code == 201, answer.text
        return answer

    def start(self, name: str = "order", **more: Any) -> str:
        """Start an instance of a workflow in `shop`; its id."""
        body = {"workflow": {"namespace": "shop", "name": name}, **more}
        answer = self.post("/v1/instances", json=body)
        assert answer.status_code == 202, answer.text
        id: str = answer.json["id"]
        return id

    def all(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        """Rows of the database."""
        return self.database.all(sql, params)

    def empty(self) -> None:
        """Remove every row. Most tables are empty, and `truncate` makes new files for each one."""
        filled = [name for name, rows in self.content().items() if rows and name != VERSION]
        if filled:
            self.all("; ".join(f"delete from orchestrator.{name}" for name in filled))
        self.all("delete from orchestrator_outbox.starts; delete from orchestrator_outbox.logins")

    def content(self) -> dict[str, int]:
        """How many rows each table has: to see that nothing changed."""
        tables = self.all(
            "select relname from pg_class c join pg_namespace n on n.oid = relnamespace"
            " where nspname = 'orchestrator' and relkind = 'r' order by 1"
        )
        counts = ", ".join(f"(select count(*) from orchestrator.{name})" for (name,) in tables)
        return dict(zip((name for (name,) in tables), self.all(f"select {counts}")[0], strict=True))

    def checksums(self) -> dict[str, str]:
        """A checksum of all rows of each table: to see that nothing changed in them either."""
        names = [name for name in self.content() if name != VERSION]
        sums = ", ".join(
            f"(select md5(coalesce(string_agg(t::text, ' ' order by t::text), '')) from"
            f" orchestrator.{name} t)"
            for name in names
        )
        return dict(zip(names, self.all(f"select {sums}")[0], strict=True))


def document(name: str = "order", version: str = "1.0.0", **more: Any) -> dict[str, Any]:
    """A small valid workflow in `shop`: one `set`, unless `do` is given."""
    return {
        "document": {"dsl": "1.0.3", "namespace": "shop", "name": name, "version": version},
        "do": [{"note": {"set": {"seen": True}}}],
        **more,
    }


def problem(answer: Any) -> str:
    """Return the slug of the answer's problem."""
    assert answer.mimetype == "application/problem+json", answer.text
    assert answer.json["status"] == answer.status_code
    return str(answer.json["type"].rpartition(":")[2])
