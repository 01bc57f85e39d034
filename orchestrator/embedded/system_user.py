"""The user that Postgres runs as: our user, or an unprivileged one if we are root."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import ConfigurationError

#: Names of suitable users, in order of preference.
CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this system."""

    name: str
    uid: int
    gid: int


def account_for(data: Path) -> Account | None:
    """Return the user for a Postgres on this data; None: our own user.

    Root uses the owner of existing data.

    Raises:
        ConfigurationError: the data belongs to another user, and we are not root; or no suitable
            user exists.
    """
    owner = data.stat().st_uid if data.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise ConfigurationError(f"{data} belongs to another user (id {owner})")
        return None
    return _account_of(owner) if owner else _unprivileged()


def _unprivileged() -> Account:
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in CANDIDATES:
        if name in known:
            return _account(known[name])
    raise ConfigurationError(f"Postgres can't run as root, and there is no user {CANDIDATES}")


def _account_of(uid: int) -> Account:
    try:
        return _account(pwd.getpwuid(uid))
    except KeyError:
        raise ConfigurationError(f"the owner of the data (user id {uid}) has no name") from None


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
