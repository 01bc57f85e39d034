"""The folder of one command on disk, where no namespace gives it one in memory. Standard library
only.

Its lock file is locked by the guardian and names the command's user id, so that the next guardian
knows what a killed one has left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import tempfile
from pathlib import Path

from orchestrator.process_runner.process_tree import kill_all_of


class CommandFolder:
    """A new folder below `base`, with the command's script in it. `uid`: its owner."""

    def __init__(self, base: Path, uid: int | None) -> None:
        base.mkdir(mode=0o711, parents=True, exist_ok=True)
        if base.is_symlink() or not base.is_dir() or base.lstat().st_uid != os.geteuid():
            raise OSError(f"{base} is not a folder of this user")
        sweep(base)
        self._uid = uid
        self.path = Path(tempfile.mkdtemp(prefix="run-", dir=base))
        self._lock = os.open(self._lock_path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        os.write(self._lock, str(uid or "").encode())
        self._give_away(self.path)

    def write(self, name: str, text: str) -> None:
        """Write a file of the command."""
        path = self.path / name
        path.write_text(text, "utf-8", "surrogatepass")
        self._give_away(path)

    def remove(self) -> None:
        """Remove the folder with all that the command left in it."""
        _remove(self.path)
        with contextlib.suppress(FileNotFoundError):
            self._lock_path.unlink()
        os.close(self._lock)

    @property
    def _lock_path(self) -> Path:
        return self.path.with_suffix(".lock")

    def _give_away(self, path: Path) -> None:
        if self._uid is not None:
            os.chown(path, self._uid, self._uid)


def _remove(folder: Path) -> None:
    """Remove a folder however deep it is; Python's own functions fail at some 1,000 levels."""
    command = ["rm", "-rf", "--one-file-system", "--", str(folder)]
    subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def sweep(base: Path) -> None:
    """Remove what guardians left that were killed: their folders, and processes of their ids."""
    for lock in base.glob("run-*.lock"):
        try:
            descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue
        with os.fdopen(descriptor) as file, contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            uid = file.read()
            if uid.isdigit() and os.geteuid() == 0:
                kill_all_of(int(uid))
            _remove(lock.with_suffix(""))
            lock.unlink()
