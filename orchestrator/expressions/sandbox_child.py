"""The child process of the sandbox: evaluates jq programs, or validates values by JSON Schemas,
without privileges, until its pipe closes.

`sandbox` runs it as a script and imports its constants: `python -I -S sandbox_child.py ENGINE PATH
MEMORY CPU RESULT` (`JQ` and the path of its extension, or `SCHEMA` and the folder of its package;
bytes; seconds of CPU per call; bytes of a result), with one end of a socket pair as its standard
input and nothing else.

A request is two lengths (program, data; 4 bytes each, big-endian) and the seconds of CPU that it
may use (a double, at most CPU), then both texts in UTF-8. The data is a JSON text; if it is empty,
the program is only compiled. An answer is one byte for the outcome, the seconds of CPU that were
used, a length, and a text: see the constants. To `SCHEMA` the program is a schema; the result is
null for a valid value, or the first error, `{path, message}`.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import resource
import signal
import socket
import struct
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from types import ModuleType
from typing import Any

READY, RESULT, NOTHING, FAILED, INVALID, MEMORY, TOO_LARGE = range(7)
"""The child is up; a JSON text; the program yielded nothing; the message of a jq error; of a
compile error; out of memory; the result is too large. `LAST` is added (as a bit) to an answer
after which the child ends, because it has grown too big."""

LAST = 0x80
JQ, SCHEMA = "jq", "schema"
HEAD = struct.Struct(">IId")
ANSWER = struct.Struct(">BdI")
MAX_PROGRAMS = 256
#: macOS refuses a bound of the address space and counts the peak in bytes. There a call may use
#: more memory than allowed, and the process ends after it.
IS_MACOS = sys.platform == "darwin"
MAX_MESSAGE = 2000


def main(engine: str, path: str, memory: int, cpu: float, result: int) -> None:
    """Drop all privileges, then answer until the other end closes."""
    pipe = socket.socket(fileno=0)
    programs = _Programs(_load(path).compile if engine == JQ else _schemas(path))
    _drop_privileges(memory)
    pipe.sendall(ANSWER.pack(READY, 0.0, 0))
    # Let this process end after an answer if its peak of memory then exceeds `large`. Take at least
    # the peak at the start: getrusage includes that of the process that started this one.
    large = max(memory // 4, _peak())
    _serve(pipe, programs, large, cpu, result)


def _load(path: str) -> ModuleType:
    loader = importlib.machinery.ExtensionFileLoader("jq", path)
    spec = importlib.util.spec_from_file_location("jq", path, loader=loader)
    if spec is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def _schemas(folder: str) -> Callable[[str], _Schema]:
    """Import the library from its folder. Return what compiles a schema."""
    sys.path.append(folder)
    import jsonschema_rs

    sys.path.remove(folder)
    return lambda text: _Schema(jsonschema_rs, json.loads(text))


class _Schema:
    """A compiled schema, used as a program is."""

    def __init__(self, library: ModuleType, schema: Any) -> None:
        try:
            self.validator = library.validator_for(schema, offline=True, validate_formats=True)
        except (TypeError, library.ReferencingError) as error:
            raise ValueError(str(error)) from None

    def input_text(self, text: str) -> list[str]:
        """Return the only result: null, or the first error."""
        try:
            self.validator.validate(json.loads(text))
        except ValueError as error:
            if not hasattr(error, "instance_path"):
                raise
            message = str(error.message)[:MAX_MESSAGE]  # type: ignore[attr-defined]
            return [json.dumps({"path": list(error.instance_path), "message": message})]
        return ["null"]


def _drop_privileges(memory: int) -> None:
    """Drop the environment, files, children and core dumps; bound the memory; set UTC. Signals of
    the process group are ignored: this process exits when its pipe closes."""
    os.environ.clear()
    os.environ["TZ"] = "UTC"
    time.tzset()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    os.chdir("/")
    os.closerange(1, 1024)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    if not IS_MACOS:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if IS_MACOS else 1024)


def _serve(pipe: socket.socket, programs: _Programs, large: int, cpu: float, most: int) -> None:
    waiting = bytearray()
    while True:
        head = _receive(pipe, waiting, HEAD.size)
        if head is None:
            return
        program_size, data_size, allowed = HEAD.unpack(head)
        body = _receive(pipe, waiting, program_size + data_size)
        if body is None:
            return
        # Let SIGPROF kill this process when its CPU time is used up: jq cannot be interrupted.
        signal.setitimer(signal.ITIMER_PROF, min(allowed, cpu))
        began = time.process_time()
        how, text = _answer(programs, body[:program_size], body[program_size:], most)
        used = time.process_time() - began
        signal.setitimer(signal.ITIMER_PROF, 0)
        if _peak() > large:
            how |= LAST
        pipe.sendall(ANSWER.pack(how, used, len(text)) + text)
        if how & LAST or how == MEMORY:
            return


def _receive(pipe: socket.socket, waiting: bytearray, size: int) -> bytes | None:
    """Return the next `size` bytes, or None if the other end has closed."""
    while len(waiting) < size:
        piece = pipe.recv(max(65536, size - len(waiting)))
        if not piece:
            return None
        waiting += piece
    received = bytes(waiting[:size])
    del waiting[:size]
    return received


class _Programs:
    """Compiled programs; the least recently used is removed first."""

    def __init__(self, compile_text: Callable[[str], Any]) -> None:
        self.compile = compile_text
        self.cached: OrderedDict[bytes, Any] = OrderedDict()

    def compiled(self, text: bytes) -> Any:
        program = self.cached.get(text)
        if program is not None:
            self.cached.move_to_end(text)
            return program
        program = self.cached[text] = self.compile(text.decode())
        if len(self.cached) > MAX_PROGRAMS:
            self.cached.popitem(last=False)
        return program


def _answer(programs: _Programs, text: bytes, data: bytes, most: int) -> tuple[int, bytes]:
    try:
        program = programs.compiled(text)
    except ValueError as error:
        return INVALID, _message(error)
    except MemoryError:
        return MEMORY, b""
    if not data:
        return NOTHING, b""
    try:
        for result in program.input_text(data.decode()):
            encoded = result.encode()
            return (RESULT, encoded) if len(encoded) <= most else (TOO_LARGE, b"")
        return NOTHING, b""
    except ValueError as error:
        return FAILED, _message(error)
    except MemoryError:
        return MEMORY, b""


def _message(error: Exception) -> bytes:
    return str(error)[:MAX_MESSAGE].encode("utf-8", "replace")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
