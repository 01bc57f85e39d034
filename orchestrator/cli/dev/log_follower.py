"""Following log files: new lines of every process, each after its name, as they come."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

#: Between two looks for new lines; files can't tell.
LOOK_AGAIN = 0.1
_COLOURS = ("cyan", "magenta", "blue", "yellow", "green")


@contextmanager
def following(folder: Path, console: Console) -> Iterator[None]:
    """Print what is added to the logs of a folder for the length of the block."""
    over = threading.Event()
    follower = _Follower(folder, console)
    thread = threading.Thread(target=follower.run, args=(over,), name="logs", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class _Follower:
    def __init__(self, folder: Path, console: Console) -> None:
        self.folder = folder
        self.console = console
        self.read = {path: path.stat().st_size for path in folder.glob("*.log")}

    def run(self, over: threading.Event) -> None:
        """Look until told that it is over."""
        while not over.wait(LOOK_AGAIN):
            for path in sorted(self.folder.glob("*.log")):
                self._print_new(path)

    def _print_new(self, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(self.read.get(path, 0))
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]  # a line is printed once it is complete
        self.read[path] = self.read.get(path, 0) + len(whole)
        colour = _COLOURS[list(self.read).index(path) % len(_COLOURS)]
        for line in whole.decode(errors="replace").splitlines():
            name = Text(f"{path.stem:<9} ", style=colour)
            self.console.print(name + Text.from_ansi(line), soft_wrap=True)
