"""The sandbox's outside: starts the child process, asks it, and says what its death means.

Theory of operation. One child serves one process of ours; it is started by the first
expression that needs it and ends when its end of the pipe reads end-of-file, which happens
whichever way its parent dies. (A parent-death signal would fire when the *thread* that
started it ends, so none is set.) After a fork the new process closes the inherited end and
starts a child of its own. An answer that did not arrive whole makes the conversation
worthless, so whatever interrupts it, the child is ended with it.

What a death means: SIGPROF is the CPU time of one call, used up. SIGABRT and SIGSEGV are
memory (libjq aborts when it has no more, and nested data ends at the end of the stack), but
only a fresh child proves it, because an old one may have been full already: the question is
put once more. Everything else is the machine's fault.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import weakref
from pathlib import Path

from orchestrator.expressions import sandbox_child
from orchestrator.expressions.errors import EvaluatorUnavailable, ExpressionError

START_DEADLINE = 30.0  # seconds for a new process to be up
_MEMORY_SIGNALS = frozenset({signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS})


class _OutOfMemory(Exception):
    """The child had no memory left for this."""


class Sandbox:
    """A jq process at arm's length. Thread-safe (one question at a time), fork-safe."""

    def __init__(
        self,
        cpu: float = 0.8,
        memory: int = 256 * 1024 * 1024,
        result: int = 32 * 1024 * 1024,
        deadline: float = 20.0,
    ) -> None:
        """`cpu` seconds and `memory` bytes bound the expression, `result` the bytes of what it
        yields; `deadline` is how many seconds of the wall clock an answer may take."""
        self._bounds = (memory, cpu, result)
        self._deadline = deadline
        self._lock = threading.Lock()
        self._child: _Child | None = None
        _sandboxes.add(self)

    def evaluate(self, program: bytes, data: bytes) -> bytes | None:
        """Run a program on a JSON text, or only compile it when there is no data.

        Returns the first result, or None when there is none. Raises `ExpressionError` or
        `EvaluatorUnavailable`.
        """
        with self._lock:
            fresh = self._child is None
            try:
                return self._evaluate_once(program, data)
            except _OutOfMemory:
                if fresh:
                    raise ExpressionError("the expression used too much memory") from None
            try:
                return self._evaluate_once(program, data)
            except _OutOfMemory:
                raise ExpressionError("the expression used too much memory") from None

    def close(self) -> None:
        """End the child. A later question starts another one."""
        with self._lock:
            self._drop()

    def detach(self) -> None:
        """After a fork: the child is the parent process's; the lock may have been held."""
        self._lock = threading.Lock()
        if self._child is not None:
            self._child.detach()
            self._child = None

    def _evaluate_once(self, program: bytes, data: bytes) -> bytes | None:
        if self._child is None:
            self._child = _Child(self._bounds, self._deadline)
        try:
            how, text = self._child.evaluate(program, data)
        except BaseException:
            self._drop()
            raise
        if how & sandbox_child.LAST or how == sandbox_child.MEMORY:
            self._drop()
        return self._read(how & ~sandbox_child.LAST, text)

    def _read(self, how: int, text: bytes) -> bytes | None:
        if how == sandbox_child.RESULT:
            return text
        if how == sandbox_child.NOTHING:
            return None
        if how == sandbox_child.MEMORY:
            raise _OutOfMemory
        if how == sandbox_child.TOO_LARGE:
            raise ExpressionError(f"the result is larger than {self._bounds[2]} bytes")
        message = text.decode("utf-8", "replace")
        raise ExpressionError(
            _compile_message(message) if how == sandbox_child.INVALID else message
        )

    def _drop(self) -> None:
        dropped, self._child = self._child, None
        if dropped is not None:
            dropped.stop()


class _Child:
    """A running child process and our end of its pipe."""

    def __init__(self, bounds: tuple[int, float, int], deadline: float) -> None:
        self._cpu = bounds[1]
        ours, theirs = socket.socketpair()
        try:
            self._process = _start(theirs, bounds)
        except OSError as error:
            ours.close()
            raise EvaluatorUnavailable(f"the evaluator cannot be started: {error}") from error
        finally:
            theirs.close()
        self._pipe = ours
        try:
            self._set_timeout(START_DEADLINE)
            self._answer()
            self._set_timeout(deadline)
        except BaseException:
            self.stop()
            raise

    def evaluate(self, program: bytes, data: bytes) -> tuple[int, bytes]:
        try:
            self._pipe.sendall(sandbox_child.HEAD.pack(len(program), len(data)) + program + data)
        except BlockingIOError:
            raise EvaluatorUnavailable("the evaluator did not read in time") from None
        except ConnectionError:
            self._exit_reason()
        return self._answer()

    def stop(self) -> None:
        """Kill it and wait for it: it has nothing to lose, and no zombie stays."""
        self._pipe.close()
        self._process.kill()
        self._process.wait()

    def detach(self) -> None:
        """Let go of another process's child."""
        self._pipe.close()
        self._process.returncode = 0  # not ours to wait for

    def _set_timeout(self, seconds: float) -> None:
        """A deadline kept by the kernel costs no system call for each answer."""
        whole = int(seconds)
        value = struct.pack("ll", whole, int((seconds - whole) * 1_000_000))
        self._pipe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
        self._pipe.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)

    def _answer(self) -> tuple[int, bytes]:
        answer = self._receive(65536)
        while len(answer) < sandbox_child.ANSWER.size:
            answer += self._receive(65536)
        how, size = sandbox_child.ANSWER.unpack_from(answer)
        size += sandbox_child.ANSWER.size
        if len(answer) < size:
            answer = self._rest(answer, size)
        return how, answer[sandbox_child.ANSWER.size :]

    def _rest(self, start: bytes, size: int) -> bytes:
        answer = bytearray(start)
        while len(answer) < size:
            answer += self._receive(size - len(answer))
        return bytes(answer)

    def _receive(self, size: int) -> bytes:
        try:
            piece = self._pipe.recv(size)
        except BlockingIOError:
            raise EvaluatorUnavailable("the evaluator did not answer in time") from None
        except ConnectionError:
            piece = b""
        if not piece:
            self._exit_reason()
        return piece

    def _exit_reason(self) -> None:
        """The pipe has broken: say why, by the way the process ended."""
        status = self._process.wait()
        if status == -signal.SIGPROF:
            raise ExpressionError(f"the expression took more than {self._cpu:g} s of CPU time")
        if -status in _MEMORY_SIGNALS:
            raise _OutOfMemory
        raise EvaluatorUnavailable(f"the evaluator ended unexpectedly ({status})")


def _start(pipe: socket.socket, bounds: tuple[int, float, int]) -> subprocess.Popen[bytes]:
    memory, cpu, result = bounds
    command = [_interpreter(), "-I", "-S", "-B", sandbox_child.__file__, _jq_path()]
    return subprocess.Popen(
        [*command, str(memory), str(cpu), str(result)],
        stdin=pipe.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_environment(),
        cwd="/",
        close_fds=True,
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    """Nothing, but for what an interpreter with shared libraries of its own needs to start;
    the child clears that too."""
    path = os.environ.get("LD_LIBRARY_PATH")
    return {"LD_LIBRARY_PATH": path} if path else {}


def _interpreter() -> str:
    """Our Python. In a server that embeds Python, `sys.executable` is the server."""
    if Path(sys.executable or "").name.startswith("python"):
        return sys.executable
    return str(Path(sys.exec_prefix) / "bin" / f"python{sys.version_info[0]}")


def _jq_path() -> str:
    spec = importlib.util.find_spec("jq")
    if spec is None or spec.origin is None:
        raise EvaluatorUnavailable("the jq package is not installed")
    return spec.origin


def _compile_message(message: str) -> str:
    """The first complaint of libjq, with the line counted in the user's program, which stands
    from the second line on."""
    first = message.splitlines()[0] if message else "the expression is not valid"
    head, mark, tail = first.removeprefix("jq: error: ").partition("at <top-level>, line ")
    number, _, column = tail.partition(",")
    if not mark or not number.isdigit():
        return head.strip()
    return f"{head}at line {int(number) - 1},{column.rstrip(': ')}"


_sandboxes: weakref.WeakSet[Sandbox] = weakref.WeakSet()


def _detach_all() -> None:
    for sandbox in _sandboxes:
        sandbox.detach()


os.register_at_fork(after_in_child=_detach_all)
