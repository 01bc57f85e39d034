"""Confine the calling process: Landlock for files, a seccomp filter for system calls.

Standard library only. Both outlive `execve` and are
inherited by every child; neither can be taken back.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
from collections.abc import Iterable

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP = 1, 4, 22
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
_SECCOMP_MODE_FILTER = 2

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # on every architecture
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
#: Rights over files that version 1 of Landlock knows; later versions add one each.
_FIRST_RIGHTS, _REFER, _TRUNCATE = (1 << 13) - 1, 1 << 13, 1 << 14
#: Rights that a rule may give for a file, not a folder.
_FILE_RIGHTS = _EXECUTE | 1 << 1 | _READ_FILE | _TRUNCATE
#: No signals to processes outside, no abstract sockets of processes outside (version 6).
_SCOPES = 3

#: By architecture: its id for seccomp, and the refused system calls: socket, ptrace,
#: process_vm_readv, process_vm_writev, io_uring_setup, pidfd_getfd, userfaultfd.
_ARCHITECTURES = {
    "x86_64": (0xC000003E, (41, 101, 310, 311, 425, 438, 323)),
    "aarch64": (0xC00000B7, (198, 117, 270, 271, 425, 438, 282)),
}
#: System calls of x86-64 from this number on belong to another interface (x32).
_X32 = 0x40000000
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 1  # EPERM

_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process (prctl of Linux). Raises `OSError`."""
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def hide_memory() -> None:
    """Keep other processes of this user from reading this one's memory and environment: it and its
    forks count as not dumpable. Does nothing where that is not known."""
    with contextlib.suppress(OSError, AttributeError):
        prctl(PR_SET_DUMPABLE, 0)


def landlock_version() -> int:
    """Return the version of Landlock that the kernel offers; 0 without one."""
    return max(0, int(_libc.syscall(_LANDLOCK_CREATE, None, 0, _VERSION_FLAG)))


def knows_seccomp() -> bool:
    """Whether `refuse_system_calls` works on this architecture."""
    return platform.machine() in _ARCHITECTURES


def allow_only_files(readable: Iterable[str], writable: Iterable[str]) -> None:
    """Refuse every file but these folders and files. `readable` may be read and executed,
    `writable` also written. Paths that do not exist are left out. Raises `OSError`."""
    version = landlock_version()
    rights = _FIRST_RIGHTS | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    attributes = struct.pack("=QQQ", rights, 0, _SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 8
    ruleset = _checked(_libc.syscall(_LANDLOCK_CREATE, attributes, size, 0))
    for path in readable:
        _add_rule(ruleset, path, _EXECUTE | _READ_FILE | _READ_DIR)
    for path in writable:
        _add_rule(ruleset, path, rights)
    _checked(_libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0))
    os.close(ruleset)


def _add_rule(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not os.path.isdir(path):
        rights &= _FILE_RIGHTS
    rule = struct.pack("=Qi", rights, descriptor)
    _checked(_libc.syscall(_LANDLOCK_ADD, ruleset, _PATH_BENEATH, rule, 0))
    os.close(descriptor)


def refuse_system_calls() -> None:
    """Refuse sockets and access to the memory of other processes (EPERM). Raises `OSError`."""
    architecture, refused = _ARCHITECTURES[platform.machine()]
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    program = [
        (load, 0, 0, 4),  # the architecture
        (equal, 0, len(refused) + 3, architecture),
        (load, 0, 0, 0),  # the number of the system call
        (at_least, len(refused) + 1, 0, _X32),
        *((equal, len(refused) - index, 0, number) for index, number in enumerate(refused)),
        (answer, 0, 0, _ALLOW),
        (answer, 0, 0, _REFUSE),
    ]
    code = b"".join(struct.pack("=HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_program = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    _checked(_libc.prctl(PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, filter_program, 0, 0))


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
