"""The Python program of this process. Standard library only."""

from __future__ import annotations

import sys
from pathlib import Path


def python_executable() -> str:
    """Return our Python. In a server that embeds Python, `sys.executable` is the server."""
    if Path(sys.executable or "").name.startswith("python"):
        return sys.executable
    return str(Path(sys.exec_prefix) / "bin" / f"python{sys.version_info[0]}")
