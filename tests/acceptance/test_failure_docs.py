"""The sessions of the pages on errors and compensation, typed into a real terminal."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dev import ROOT, Dev, environment
from tests.support.terminal_sessions import Command, page, same

MODULES = {"compensation": "trip", "error_handling": "weather"}
#: Commands that only look, and may look again until what they tell has come about.
LOOKING = ("orchestrator show ", "orchestrator compensate $ID --dry-run ")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


class Terminal:
    """A shell that keeps its variables."""

    def __init__(self, folder: Path, **variables: str) -> None:
        with (folder / "stderr").open("w") as stderr:
            self.shell = subprocess.Popen(
                ["bash"],
                cwd=folder,
                env=environment(**variables),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def type(self, line: str) -> str:
        """Run a command; what it prints on stdout."""
        assert self.shell.stdin and self.shell.stdout
        self.shell.stdin.write(f"{line}\necho\necho --over--\n")
        self.shell.stdin.flush()
        return "".join(iter(self.shell.stdout.readline, "--over--\n"))

    def close(self) -> None:
        assert self.shell.stdin and self.shell.stdout
        self.shell.stdin.close()
        self.shell.wait()
        self.shell.stdout.close()


@pytest.fixture(params=MODULES)
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Terminal]]:
    """A page's name, and a terminal in a folder with its files, its tasks being served."""
    for name, text in page(f"implementation/{request.param}.md").files.items():
        (tmp_path / name).write_text(text)
    path = f"{ROOT}:{tmp_path}"
    served = Dev(tmp_path / "data", PYTHONPATH=path, ORCHESTRATOR_IMPORTS=MODULES[request.param])
    (tmp_path / "orchestrator").write_text(
        f'#!/bin/sh\nexec {sys.executable} -m orchestrator.cli "$@"\n'
    )
    (tmp_path / "orchestrator").chmod(0o755)
    here = environment()["PATH"]
    terminal = Terminal(
        tmp_path, PYTHONPATH=path, ORCHESTRATOR_API_URL=served.address, PATH=f"{tmp_path}:{here}"
    )
    yield request.param, terminal
    terminal.close()
    served.process.terminate()
    assert served.end() == 0


def test_a_session_goes_as_the_page_says(session: tuple[str, Terminal]) -> None:
    name, terminal = session
    commands = page(f"implementation/{name}.md").commands
    assert len(commands) >= 5
    for command in commands:
        check(terminal, command)


def check(terminal: Terminal, command: Command, timeout: float = 60) -> None:
    given = terminal.type(command.line)
    deadline = time.monotonic() + timeout
    while not same(given, command.prints):
        looks = command.line.startswith(LOOKING) and time.monotonic() < deadline
        assert looks, f"$ {command.line}\n{given}\ninstead of\n{command.prints}"
        given = terminal.type(command.line)
