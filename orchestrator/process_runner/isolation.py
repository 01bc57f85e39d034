"""How well this machine can isolate a command, from best to worst.

``namespaces``: bubblewrap with user, process, network and mount namespaces. The command sees
``/usr`` and a folder in memory. ``uid``: a user id of its own for each command, which takes root;
``process``: the worker's user. Both see their folder on disk and have no sockets (seccomp) and no
other files (Landlock). ``none``: only the limits of the guardian.
"""

from __future__ import annotations

import enum
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

#: Where commands are found, and the `PATH` of a command.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: The size of each folder in memory, in bytes.
MEMORY_FOLDER = 64 << 20
#: The descriptors of the script, and of the variables as options of bubblewrap.
SCRIPT_DESCRIPTOR, VARIABLES_DESCRIPTOR = 3, 4

_PROBE_TIMEOUT = 10.0
#: User ids of commands are drawn from here on: no account has them.
_FIRST_UID, _UIDS = 1 << 30, 1 << 29


class Isolation(enum.StrEnum):
    """A level of isolation, comparable by `reaches`."""

    NAMESPACES = "namespaces"
    UID = "uid"
    PROCESS = "process"
    NONE = "none"

    def reaches(self, least: Isolation) -> bool:
        """Whether it is at least as good as another level."""
        levels = list(Isolation)
        return levels.index(self) <= levels.index(least)


def fresh_uid() -> int | None:
    """Return a user id for one command; None for a worker that is not root and cannot switch."""
    if os.geteuid() != 0:
        return None
    return _FIRST_UID + int.from_bytes(os.urandom(4), "big") % _UIDS


@cache
def available_isolation() -> Isolation:
    """Return the best level that this machine has. Tried once per process."""
    if not sys.platform.startswith("linux"):
        return Isolation.NONE
    if sandbox_options() is not None:
        return Isolation.NAMESPACES
    from orchestrator.process_runner import confinement

    if not confinement.knows_seccomp() or not confinement.landlock_version():
        return Isolation.NONE
    return Isolation.UID if os.geteuid() == 0 else Isolation.PROCESS


@cache
def sandbox_options() -> tuple[str, ...] | None:
    """Return the command line of bubblewrap that works here; None if none does. Some containers
    refuse a mount of ``/proc``."""
    program = shutil.which("bwrap", path=PATH)
    if program is None:
        return None
    for extra in (("--proc", "/proc"), ("--dir", "/proc")):
        options = (program, *_OPTIONS, *_system_folders(), *extra)
        if _works(options):
            return options
    return None


_OPTIONS = (
    "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
    "--hostname", "workflow", "--dev", "/dev", "--symlink", "work", "/tmp",  # noqa: S108  # the command's own
)  # fmt: skip


def _system_folders() -> list[str]:
    """Return the options that show the programs and libraries of the system, read-only."""
    options = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        folder = Path("/", name)
        if folder.is_symlink():
            options += ["--symlink", os.readlink(folder), str(folder)]
        elif folder.is_dir():
            options += ["--ro-bind", str(folder), str(folder)]
    for name in ("/etc/ld.so.cache", "/etc/alternatives"):
        options += ["--ro-bind-try", name, name]
    return options


def work_folder_options(script: str | None, readable: tuple[str, ...]) -> list[str]:
    """Return the options for the command's own folder, its script and its interpreter."""
    options = ["--size", str(MEMORY_FOLDER), "--tmpfs", "/work", "--chdir", "/work"]
    for path in readable:
        options += ["--ro-bind", path, path]
    if script is not None:
        options += ["--file", str(SCRIPT_DESCRIPTOR), f"/work/{script}"]
    # bubblewrap's own folders in memory have no bound: only the command's folder stays writable.
    return [*options, "--remount-ro", "/dev", "--remount-ro", "/"]


def _works(options: tuple[str, ...]) -> bool:
    uid = fresh_uid()
    command = [*options, *work_folder_options(None, ()), "--", "/bin/sh", "-c", "exit 0"]
    as_user = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_TIMEOUT,
            env={"PATH": PATH},
            check=False,
            **as_user,  # type: ignore[call-overload]
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return bool(ended.returncode == 0)
