"""The example manifests are what Kubernetes takes, and start what there is."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from orchestrator.settings import PREFIX, Settings, load_settings

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
RELEASES = ("1.30", "1.33")


def manifests() -> list[Any]:
    """Every document of every file."""
    return [
        pytest.param(document, id=f"{document['kind']}/{document['metadata']['name']}")
        for path in sorted(FOLDER.glob("*.yaml"))
        for document in YAML(typ="safe").load_all(path.read_text())
    ]


def containers(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers of a workload."""
    template = manifest.get("spec", {}).get("template", {})
    return list(template.get("spec", {}).get("containers", []))


@pytest.mark.parametrize("manifest", manifests())
@pytest.mark.parametrize("release", RELEASES)
def test_it_is_valid(manifest: dict[str, Any], release: str) -> None:
    kubernetes_validate.validate(manifest, release, strict=True)


@pytest.mark.parametrize("manifest", [one for one in manifests() if containers(one.values[0])])
def test_it_is_confined_and_watched(manifest: dict[str, Any]) -> None:
    pod = manifest["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001
    (container,) = containers(manifest)
    assert container["securityContext"]["readOnlyRootFilesystem"]
    if manifest["kind"] == "Job":
        return
    assert pod["terminationGracePeriodSeconds"] > Settings().shutdown_grace + 2
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe, path in (("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"]["path"] == path
        assert named[container[probe]["httpGet"]["port"]] in (8233, 9808)
    selector = manifest["spec"]["selector"]["matchLabels"].items()
    assert selector <= manifest["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("manifest", [one for one in manifests() if containers(one.values[0])])
def test_its_command_is_one_that_we_have(manifest: dict[str, Any]) -> None:
    from celery.bin.celery import celery

    from orchestrator.cli import main

    (container,) = containers(manifest)
    command: Any = celery if container.get("command") == ["celery"] else main
    # As far as --help goes, click has read and understood every option.
    options = [word for word in container["args"] if not word.startswith("--app=")]
    asked = CliRunner().invoke(command, [*options, "--help"])
    assert asked.exit_code == 0, asked.output


def test_its_settings_are_settings(tmp_path: Path) -> None:
    known = {PREFIX + field.name.upper() for field in dataclasses.fields(Settings)}
    values: dict[str, str] = {}
    for one in manifests():
        (manifest,) = one.values
        if manifest["kind"] == "ConfigMap":
            values |= manifest["data"]
        for container in containers(manifest):
            values |= {each["name"]: each["value"] for each in container.get("env", [])}
    assert {name.removesuffix("_FILE") for name in values} <= known
    load_settings({name: value for name, value in values.items() if not name.endswith("_FILE")})


def test_its_secrets_are_there() -> None:
    kinds = {one.values[0]["kind"]: one.values[0] for one in manifests()}
    files = {value for value in kinds["ConfigMap"]["data"].values() if "/run/secrets/" in value}
    for one in manifests():
        for container in containers(one.values[0]):
            files |= {word.rpartition("=")[2] for word in container["args"] if "secrets" in word}
    assert {file.removeprefix("/run/secrets/") for file in files} == set(
        kinds["Secret"]["stringData"]
    )


def test_a_release_of_kubernetes_would_refuse_a_mistake() -> None:
    (manifest,) = next(one for one in manifests() if one.values[0]["kind"] == "Deployment").values
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(
            {**manifest, "spec": {"replica": 2}}, RELEASES[-1], strict=True
        )
