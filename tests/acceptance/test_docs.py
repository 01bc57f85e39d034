"""Every command that README and the documentation print is run as it is printed."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.support.dev import ROOT, Dev, environment
from tests.support.documented_commands import Shell, blocks, pages
from tests.support.stack import free_port


def world(folder: Path, **variables: str) -> dict[str, str]:
    """A reader's: the command line is on the path, nothing is set."""
    binaries = str(Path(sys.executable).parent)
    env = environment(**variables)
    env.pop("PYTHONPATH")
    return {**env, "PATH": f"{binaries}:{os.environ['PATH']}", "HOME": str(folder)}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a reader has in front of them: the project, with its environment made."""
    folder = tmp_path / "clone"
    folder.mkdir()
    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    return folder


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", pages())
def test_the_commands_of_a_page_run_as_they_are_printed(
    page: str, clone: Path, tmp_path: Path, request: pytest.FixtureRequest
):
    found = blocks(ROOT / page, "sh")
    if not any(block.is_run and block.language == "sh" for block in found):
        pytest.skip(f"{page} says of all its commands why they are not run")
    port = str(free_port())
    if any(block.runs_on for block in found):  # it starts its own
        where = {"ORCHESTRATOR_API_PORT": port, "ORCHESTRATOR_API_URL": f"http://127.0.0.1:{port}"}
    else:
        dev: Dev = request.getfixturevalue("dev")
        where = {"ORCHESTRATOR_API_URL": dev.address}
    shell = Shell(clone, tmp_path, world(clone, **where))
    try:
        for block in found:
            place = f"{page}:{block.line}"
            if block.is_file:
                shell.save(block)
            elif block.runs_on:
                assert next(shell.start(block), ""), f"{place} says nothing: {shell.logs()}"
            elif block.is_run:
                done = shell.run(block)
                message = f"{place}\n{block.text}\n{done.stdout}\n{done.stderr}"
                assert done.returncode == block.status, message
                assert "Traceback" not in done.stderr, message
    finally:
        shell.close()
