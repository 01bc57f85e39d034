"""Follows log files: prints new lines of every process, with its name before them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

#: Time between two reads of the files, in seconds.
POLL_INTERVAL = 0.1
_COLOURS = ("cyan", "magenta", "blue", "yellow", "green")


@contextmanager
def following(folder: Path, console: Console) -> Iterator[None]:
    """Print new lines of the logs in a folder while the block runs."""
    stop = threading.Event()
    follower = _Follower(folder, console)
    thread = threading.Thread(
        target=follower.run, args=(stop,), name="orchestrator-log-follower", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class _Follower:
    def __init__(self, folder: Path, console: Console) -> None:
        self.folder = folder
        self.console = console
        self.offsets = {path: path.stat().st_size for path in folder.glob("*.log")}

    def run(self, stop: threading.Event) -> None:
        """Print new lines until `stop` is set."""
        while not stop.wait(POLL_INTERVAL):
            for path in sorted(self.folder.glob("*.log")):
                self._print_new(path)

    def _print_new(self, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(self.offsets.get(path, 0))
            new = file.read()
        complete = new[: new.rfind(b"\n") + 1]  # the rest of an incomplete line follows later
        self.offsets[path] = self.offsets.get(path, 0) + len(complete)
        colour = _COLOURS[list(self.offsets).index(path) % len(_COLOURS)]
        for line in complete.decode(errors="replace").splitlines():
            name = Text(f"{path.stem:<9} ", style=colour)
            self.console.print(name + Text.from_ansi(line), soft_wrap=True)
