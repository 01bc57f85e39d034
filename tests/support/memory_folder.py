"""Folders in memory for the data of test servers.

A fresh database for a test is a copy of some 300 files. On a disk that is a quarter of the time of
all tests, in memory a few milliseconds.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")
_PREFIX = "orchestrator-test-"
#: Bytes that must be free there: containers have 64 MB, unless told otherwise.
_NEEDED = 2 << 30


@contextmanager
def memory_folder(name: str, otherwise: Path) -> Iterator[Path]:
    """A folder in memory until the end of the block, or `otherwise` where memory has no room."""
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _NEEDED:
        yield otherwise
        return
    _remove_abandoned()
    folder = _MEMORY / f"{_PREFIX}{os.getpid()}-{name}"
    folder.mkdir(mode=0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned() -> None:
    """Remove the folders of processes that were killed."""
    for folder in _MEMORY.glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)
