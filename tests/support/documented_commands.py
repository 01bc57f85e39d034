"""The commands of the documentation, run as a reader would type them.

A page's ``sh`` blocks run in their order and share the folder and the exported variables. A comment
right before a block adds an instruction:

    <!-- not run: REASON -->        the block cannot run, for this reason
    <!-- in another terminal -->    it keeps running during the blocks after it
    <!-- fails with 2 -->           its exit status
    <!-- file: NAME -->             a block in any language that the reader saves under this name
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(
    r"(?:<!-- (?P<note>[^>]*?) -->\n+)?^```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_FAILS = re.compile(r"fails with (\d+)")


@dataclass(frozen=True)
class Block:
    """A fenced block with the comment before it and the line that it begins in."""

    language: str
    text: str
    note: str
    line: int

    @property
    def is_run(self) -> bool:
        """Whether it can be run."""
        return not self.note.startswith("not run")

    @property
    def is_file(self) -> bool:
        """Whether the reader saves it."""
        return self.note.startswith("file: ")

    @property
    def runs_on(self) -> bool:
        """Whether it is started and left running."""
        return self.note == "in another terminal"

    @property
    def status(self) -> int:
        """How it exits."""
        found = _FAILS.fullmatch(self.note)
        return int(found[1]) if found else 0


def pages() -> list[str]:
    """Every page that prints commands."""
    files = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    return sorted(str(file.relative_to(ROOT)) for file in files if _prints(file))


def _prints(file: Path) -> bool:
    return any(block.language == "sh" for block in blocks(file, "sh"))


def blocks(file: Path, *languages: str) -> list[Block]:
    """The blocks of a page in some languages; in any that are named: all that are files."""
    text = file.read_text()
    return [
        Block(
            found["language"], found["text"], found["note"] or "", text[: found.start()].count("\n")
        )
        for found in _BLOCK.finditer(text)
        if found["language"] in languages or (found["note"] or "").startswith("file: ")
    ]


class Shell:
    """Runs blocks one after the other; stops those that keep running at the end."""

    def __init__(self, folder: Path, scratch: Path, env: Mapping[str, str]) -> None:
        self.state = scratch / "shell"
        self.state.mkdir()
        self.env = dict(env)
        (self.state / "here").write_text(str(folder))
        (self.state / "exported").write_text("")
        self._running: list[subprocess.Popen[str]] = []

    def save(self, block: Block) -> None:
        """Save a block under the name that its comment gives."""
        here = Path((self.state / "here").read_text().strip())
        (here / block.note.removeprefix("file: ")).write_text(block.text)

    def run(self, block: Block, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """Run a block to its end."""
        return subprocess.run(
            ["bash", "-c", self._script(block)],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )

    def start(self, block: Block) -> Iterator[str]:
        """Start a block that runs on; its lines."""
        with (self.state / f"running-{len(self._running)}.log").open("w") as log:
            process = subprocess.Popen(
                ["bash", "-c", self._script(block)],
                env=self.env,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._running.append(process)
        assert process.stdout is not None
        return iter(process.stdout)

    def _script(self, block: Block) -> str:
        state = self.state
        return (
            f'set -euo pipefail\nset +u; . "{state}/exported"; set -u\ncd "$(cat {state}/here)"\n'
            f'trap \'pwd > "{state}/here"; export -p > "{state}/exported"\' EXIT\n{block.text}'
        )

    def logs(self) -> str:
        """Return the stderr of the blocks that keep running."""
        return "\n".join(file.read_text()[-3000:] for file in self.state.glob("running-*.log"))

    def close(self) -> None:
        """Stop what is still running."""
        for process in self._running:
            os.killpg(process.pid, signal.SIGTERM)
        for process in self._running:
            process.wait(timeout=60)
            if process.stdout is not None:
                process.stdout.close()
