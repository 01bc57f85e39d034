"""pytest-celery's three clusters, on processes of this machine or on Docker.

The tests ask for `celery_setup`, as any test with pytest-celery does. Where its nodes run is
for the fixture `place` to say: here always, in containers too where an engine is present.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, _state
from pytest_celery import (
    CeleryBackendCluster,
    CeleryBrokerCluster,
    CeleryTestBroker,
    CeleryTestWorker,
    CeleryWorkerCluster,
)
from pytest_docker_tools import build, container, fxtr

from orchestrator.embedded import Valkey
from tests.support.cluster import (
    LocalServer,
    LocalWorker,
    Results,
    why_no_docker,
    worker_container,
)
from tests.support.stack import ROOT, free_port
from tests.support.zoo import Zoo, zoo_on

#: Long enough for a busy machine's heartbeat, short enough to wait for.
SETTINGS = {"lease": 3, "republish_after": 2, "shutdown_grace": 20}
WORKERS = ("first", "second")


@pytest.fixture(scope="session")
def docker_absent() -> str | None:
    """Why there are no containers; asked once."""
    return why_no_docker()


@pytest.fixture(params=["processes", "docker"])
def place(request: pytest.FixtureRequest, docker_absent: str | None) -> str:
    """Where the nodes run."""
    if request.param == "docker" and docker_absent is not None:
        pytest.skip(docker_absent)
    return str(request.param)


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def broker(request: pytest.FixtureRequest) -> str:
    """The kind of broker."""
    return str(request.param)


# -- brokers ------------------------------------------------------------


@pytest.fixture
def celery_broker_cluster(
    request: pytest.FixtureRequest, place: str, broker: str
) -> Iterator[CeleryBrokerCluster]:
    """One broker."""
    if place == "docker":
        node = CeleryTestBroker(request.getfixturevalue(f"default_{broker}_broker"))
    elif broker == "redis":
        request.getfixturevalue("broker_url")  # empties it
        node = CeleryTestBroker(LocalServer(request.getfixturevalue("valkey")))
    else:
        url = request.getfixturevalue("rabbitmq_url")
        node = CeleryTestBroker(LocalServer(request.getfixturevalue("rabbitmq"), url))
    yield CeleryBrokerCluster(node)
    node.teardown()


@pytest.fixture
def default_redis_broker_ports() -> dict[str, int]:
    """The same port after a restart: workers keep the address that they were started with."""
    return {"6379/tcp": free_port()}


@pytest.fixture
def default_rabbitmq_broker_ports() -> dict[str, int]:
    """As above."""
    return {"5672/tcp": free_port()}


# -- backends ------------------------------------------------------------


@pytest.fixture
def celery_backend_cluster(
    request: pytest.FixtureRequest, place: str, tmp_path: Path
) -> Iterator[CeleryBackendCluster]:
    """One result backend, apart from the broker, since that is killed."""
    if place == "docker":
        yield CeleryBackendCluster(Results(request.getfixturevalue("default_redis_backend")))
        return
    with Valkey(tmp_path / "backend") as server:
        yield CeleryBackendCluster(Results(LocalServer(server)))


@pytest.fixture
def default_redis_backend_ports() -> dict[str, int]:
    """As the broker's."""
    return {"6379/tcp": free_port()}


# -- workers ------------------------------------------------------------


@pytest.fixture
def zoo(
    tmp_path: Path, database_url: str, celery_worker_cluster_config: dict[str, Any]
) -> Iterator[Zoo]:
    """API and beat beside the cluster, on the tests' Postgres."""
    broker, backend = (
        celery_worker_cluster_config[f"celery_{kind}_cluster_config"]["host_urls"][0]
        for kind in ("broker", "backend")
    )
    with zoo_on(tmp_path, database_url, broker, backend, **SETTINGS) as zoo:
        yield zoo


@pytest.fixture
def celery_worker_cluster(
    request: pytest.FixtureRequest, place: str, zoo: Zoo, celery_setup_app: Celery
) -> Iterator[CeleryWorkerCluster]:
    """Two workers of the zoo's app."""
    if place == "docker":
        containers = [request.getfixturevalue(f"{name}_container") for name in WORKERS]
    else:
        containers = [LocalWorker(zoo, name, {"concurrency": 2}) for name in WORKERS]
    nodes = [CeleryTestWorker(one, celery_setup_app) for one in containers]
    yield CeleryWorkerCluster(*nodes)
    for node in nodes:
        node.teardown()


@pytest.fixture
def celery_setup_app(celery_setup_app: Celery) -> Iterator[Celery]:
    """The test's own view of the cluster. The library makes it the current app."""
    yield celery_setup_app
    celery_setup_app.close()
    _state._tls.current_app = None  # type: ignore[attr-defined]


@pytest.fixture
def worker_environment(zoo: Zoo) -> dict[str, str]:
    """The environment of a worker in a container: ours alone, nothing of this machine's."""
    everything = zoo.stack.environment(**zoo.environment)
    return {
        name: value
        for name, value in everything.items()
        if name.startswith(("ORCHESTRATOR_", "ZOO_")) or name == "PYTHONUNBUFFERED"
    }


worker_image = build(path=str(ROOT), tag="celery-orchestrator:tests")
first_container = container(environment=fxtr("worker_environment"), **worker_container("first"))
second_container = container(environment=fxtr("worker_environment"), **worker_container("second"))
