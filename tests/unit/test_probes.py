"""The HTTP port of workers and beats for supervisors and Prometheus."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import httpx2
import pytest

from orchestrator.errors import ConfigurationError
from orchestrator.execution.process.probe_server import Probes
from orchestrator.metrics import Meter
from orchestrator.metrics import catalog as metrics

meter = Meter()
health = {"alive": (True, "alive"), "ready": (False, "starting")}


@pytest.fixture
def probes() -> Iterator[Probes]:
    serving = Probes("127.0.0.1:0", lambda: health["alive"], lambda: health["ready"], meter.read)
    yield serving
    serving.close()


def get(probes: Probes, path: str, **headers: str) -> httpx2.Response:
    return httpx2.get(f"http://127.0.0.1:{probes.port}{path}", headers=headers)


def test_each_path_answers_for_itself(probes: Probes) -> None:
    assert (get(probes, "/livez").status_code, get(probes, "/livez").text) == (200, "alive\n")
    assert (get(probes, "/readyz").status_code, get(probes, "/readyz").text) == (503, "starting\n")
    assert get(probes, "/livez?verbose").status_code == 200
    assert get(probes, "/").status_code == 404
    assert httpx2.head(f"http://127.0.0.1:{probes.port}/livez").status_code == 200
    assert httpx2.post(f"http://127.0.0.1:{probes.port}/livez").status_code == 501


def test_metrics_have_the_requested_format(probes: Probes) -> None:
    meter.count(metrics.LEASES_EXPIRED)
    plain = get(probes, "/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=")
    assert "orchestrator_leases_expired_total 1.0" in plain.text
    openmetrics = get(probes, "/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")


def test_a_silent_client_blocks_no_other(probes: Probes) -> None:
    with socket.create_connection(("127.0.0.1", probes.port)):
        assert get(probes, "/livez").status_code == 200


def test_an_occupied_port_is_refused_by_name(probes: Probes) -> None:
    with pytest.raises(ConfigurationError, match=r"ORCHESTRATOR_PROBE_ADDRESS 127\.0\.0\.1"):
        Probes(
            f"127.0.0.1:{probes.port}",
            lambda: (True, ""),
            lambda: (True, ""),
            meter.read,
        )


def test_a_child_does_not_keep_the_port(probes: Probes) -> None:
    child = os.fork()
    if not child:
        probes.detach()
        os._exit(0 if probes._server.socket.fileno() == -1 else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert get(probes, "/livez").status_code == 200  # the parent's goes on
