"""Environments as users have them: the wheel of this checkout beside libraries of theirs.

uv makes them: it resolves and installs in seconds. Skips, with the reason, where the machine lacks
an interpreter.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.embedded.supervisor import Process
from tests.support.stack import ROOT, Stack

#: Variables of the tests' own environment that must not reach a user's.
FOREIGN = ("CELERY", "ORCHESTRATOR", "PYTHON", "DJANGO", "FLASK", "VIRTUAL_ENV")


def clean_environment() -> dict[str, str]:
    """The variables of this process that say nothing of Python or of us."""
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}


def run(argv: list[str], **options: Any) -> str:
    """The output of a command that succeeds."""
    options.setdefault("timeout", 600)
    done = subprocess.run(argv, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def uv(*argv: str, **options: Any) -> str:
    """The output of uv, of this environment."""
    return run([sys.executable, "-m", "uv", *argv], env=clean_environment(), **options)


def build_wheel(folder: Path) -> Path:
    """Our wheel, as it would be published."""
    uv("build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT))
    (made,) = folder.glob("*.whl")
    return made


def requirement(wheel: Path, *extras: str) -> str:
    """The wheel with extras, as a requirement."""
    chosen = f"[{','.join(extras)}]" if extras else ""
    return f"celery-orchestrator{chosen} @ {wheel.as_uri()}"


def compile_requirements(*requirements: str, python: str, constraints: Path | None = None) -> str:
    """What a resolver chooses on a version of Python: lines of ``name==version``."""
    within = ("--constraints", str(constraints)) if constraints else ()
    argv = ("pip", "compile", "--quiet", "--no-annotate", "--no-header", *within)
    return uv(*argv, "--python-version", python, "-", input="\n".join(requirements))


def interpreter(version: str) -> str:
    """A Python of that minor version; skips where there is none."""
    if version == "{}.{}".format(*sys.version_info):
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = shutil.which(f"python{version}")
    for each in (found, *sorted(pyenv.glob(f"{version}.*/bin/python"))):
        asked = each and subprocess.run([str(each), "--version"], capture_output=True, text=True)
        if asked and asked.stdout.startswith(f"Python {version}."):
            return str(each)
    pytest.skip(f"there is no Python {version} on this machine")


def make_environment(
    folder: Path,
    *requirements: str,
    python: str = sys.executable,
    constraints: Path | None = None,
) -> Path:
    """The interpreter of a new environment with these requirements."""
    uv("venv", "--quiet", "--python", python, str(folder))
    listed = folder / "requirements.txt"
    listed.write_text("\n".join(requirements))
    made = folder / "bin" / "python"
    within = ("--constraints", str(constraints)) if constraints else ()
    argv = ("pip", "install", "--quiet", "--python", str(made), *within)
    uv(*argv, "--requirements", str(listed))
    return made


class Home:
    """A user's folder and environment, with processes on the servers of a stack."""

    def __init__(self, stack: Stack, python: Path, folder: Path) -> None:
        self.stack, self.python, self.folder = stack, python, folder

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of its processes: its folder is on their path, this checkout is not."""
        settings = {
            "database_url": self.stack.database_url,
            "broker_url": self.stack.broker_url,
            **self.stack.settings,
        }
        return {
            **clean_environment(),
            "PATH": f"{self.python.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder),
            **{f"ORCHESTRATOR_{name.upper()}": str(value) for name, value in settings.items()},
            **more,
        }

    def __call__(self, *argv: str) -> str:
        """Run its Python in its folder."""
        return run([str(self.python), *argv], cwd=self.folder, env=self.environment())

    def spawn(self, name: str, *argv: str, env: dict[str, str] | None = None, **o: Any) -> Process:
        """Start a program of its environment, in its folder."""
        return self.stack.supervisor.spawn(
            name,
            [str(self.python.parent / argv[0]), *argv[1:]],
            env=self.environment(**(env or {})),
            cwd=self.folder,
            log=self.stack.folder / f"{name}.log",
            timeout=120,
            **o,
        )


def kill_tree(process: Process) -> None:
    """SIGKILL to a process and its children at once, as when a machine dies."""
    main = psutil.Process(process.pid)
    for each in (main, *main.children(recursive=True)):
        each.kill()
    process.wait()
