"""The client has every operation of the API, and one source for both of its kinds."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from orchestrator.client import AsyncClient, Client
from orchestrator.client.asynchronous.operations import AsyncApi
from orchestrator.client.synchronous.operations import Api
from tests.support.client_twin import COMMAND, files, operation_names, stale


def methods(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


OF_THE_BASE = {"pages", "server_sent_events", "endless_stream"}


def test_every_operation_of_the_api_has_a_method():
    operations = operation_names()
    for kind in (Api, AsyncApi):
        missing = {each: name for each, name in operations.items() if name not in methods(kind)}
        assert not missing, f"run {COMMAND}"
        assert methods(kind) - OF_THE_BASE == {*operations.values()}, f"run {COMMAND}"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_generated_files_are_up_to_date():
    made = files()
    outdated = [path.name for path, code in made.items() if path.read_text() != code]
    assert not outdated, f"run {COMMAND}"
    assert not stale(made), f"run {COMMAND}"


@pytest.mark.parametrize(("kind", "twin"), [(AsyncClient, Client), (AsyncApi, Api)])
def test_both_clients_have_the_same_methods_and_arguments(kind: type, twin: type):
    renamed = {"aclose": "close"}
    assert {renamed.get(name, name) for name in methods(kind)} == methods(twin)
    for name in methods(kind) - {"aclose", "api"}:
        ours, theirs = getattr(kind, name), getattr(twin, name)
        assert _parameters(ours) == _parameters(theirs), name
        assert inspect.getdoc(ours) == inspect.getdoc(theirs), name


def _parameters(method: object) -> list[str]:
    assert callable(method)
    return [str(each) for each in inspect.signature(method).parameters.values()]


def test_nothing_asynchronous_is_left_in_the_twin():
    folder = Path(inspect.getfile(Client)).parent
    for path in folder.rglob("*.py"):
        code = path.read_text()
        assert "async" not in code.replace("asynchronous", ""), path
        assert "await " not in code, path


def test_iterators_of_both_kinds():
    client = Client("http://127.0.0.1:1")
    assert isinstance(client.instances(), Iterator)
    assert isinstance(client.api.list_instances(), Iterator)
    client.close()
    assert isinstance(AsyncClient("http://127.0.0.1:1").instances(), AsyncIterator)
    assert isinstance(AsyncClient("http://127.0.0.1:1").api.list_instances(), AsyncIterator)
