"""Notices changes of a project's Python files, by their times of modification."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

#: Seconds between two looks. The system's notices of changes differ between platforms.
INTERVAL = 1.0
#: Folders without the project's own code.
_SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages", "build", "dist"})


def modification_times(folder: Path) -> dict[str, int]:
    """Return the time of modification of each Python file below a folder, in nanoseconds."""
    times: dict[str, int] = {}
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED and name[0] != "."]
        for name in files:
            if name.endswith(".py"):
                path = os.path.join(where, name)
                try:
                    times[path] = os.stat(path).st_mtime_ns
                except OSError:
                    continue  # it was removed meanwhile
    return times


def watch(folder: Path, on_change: Callable[[str], object]) -> None:
    """Call `on_change` with the name of a changed file, after each change; in a thread."""

    def run() -> None:
        before = modification_times(folder)
        while True:
            pause.wait(INTERVAL)
            now = modification_times(folder)
            if now != before:
                changed = {path for path, _ in before.items() ^ now.items()}
                before = now
                on_change(os.path.relpath(min(changed), folder))

    pause = threading.Event()
    threading.Thread(target=run, name="orchestrator-code-watcher", daemon=True).start()
