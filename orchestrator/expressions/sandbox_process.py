"""The parent's side of the sandbox: starts the process, exchanges messages, reads its exit."""

from __future__ import annotations

import importlib.util
import os
import select
import signal
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

from orchestrator import native_threads
from orchestrator.expressions import sandbox_child
from orchestrator.expressions.errors import EvaluatorUnavailable
from orchestrator.python_executable import python_executable

START_DEADLINE = 30.0  # seconds for a new process to be up

_MEMORY_SIGNALS = frozenset({signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS})


class OutOfMemory(Exception):
    """The child ran out of memory."""


class OutOfTime(Exception):
    """The child has used the CPU time that it was given."""


class SandboxProcess:
    """A running child process and our end of its pipe."""

    def __init__(self, engine: str, bounds: tuple[int, float, int], deadline: float) -> None:
        ours, theirs = socket.socketpair()
        try:
            self._process = _start(theirs, engine, bounds)
        except OSError as error:
            ours.close()
            raise EvaluatorUnavailable(f"the evaluator cannot be started: {error}") from error
        finally:
            theirs.close()
        self._pipe = ours
        #: What the socket raises at the deadline. Others may raise the other one in its calls.
        self._late: type[OSError] = BlockingIOError
        try:
            self._set_timeout(START_DEADLINE)
            self._answer()
            self._set_timeout(deadline)
        except BaseException:
            self.stop()
            raise

    def evaluate(
        self,
        program: bytes,
        data: bytes,
        cpu: float,
        patience: float = 0.0,
        on_slow: Callable[[], None] | None = None,
    ) -> tuple[int, float, bytes]:
        """Run a program on a JSON text. Return the outcome, the seconds of CPU, and the text.

        `cpu` bounds the seconds of CPU. `on_slow` is called once if there is no answer after
        `patience` seconds; the caller must stop this process if it raises."""
        try:
            head = sandbox_child.HEAD.pack(len(program), len(data), cpu)
            self._pipe.sendall(head + program + data)
        except self._late:
            raise EvaluatorUnavailable("the evaluator did not read in time") from None
        except ConnectionError:
            self._exit_reason()
        if on_slow is not None and not select.select([self._pipe], (), (), patience)[0]:
            on_slow()
        return self._answer()

    def stop(self) -> None:
        """Kill the process and wait for it, so that no zombie remains."""
        self._pipe.close()
        self._process.kill()
        self._process.wait()

    def detach(self) -> None:
        """Close the pipe to another process's child."""
        self._pipe.close()
        self._process.returncode = 0  # not ours to wait for

    def _set_timeout(self, seconds: float) -> None:
        """Set the deadline in the kernel, which costs no system call per answer.

        A socket of gevent does not block in the kernel: the deadline is gevent's there."""
        if native_threads.enabled():
            self._late = TimeoutError
            self._pipe.settimeout(seconds)
            return
        whole = int(seconds)
        value = struct.pack("ll", whole, int((seconds - whole) * 1_000_000))
        self._pipe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
        self._pipe.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)

    def _answer(self) -> tuple[int, float, bytes]:
        answer = self._receive(65536)
        while len(answer) < sandbox_child.ANSWER.size:
            answer += self._receive(65536)
        how, cpu, size = sandbox_child.ANSWER.unpack_from(answer)
        size += sandbox_child.ANSWER.size
        if len(answer) < size:
            answer = self._rest(answer, size)
        return how, cpu, answer[sandbox_child.ANSWER.size :]

    def _rest(self, start: bytes, size: int) -> bytes:
        answer = bytearray(start)
        while len(answer) < size:
            answer += self._receive(size - len(answer))
        return bytes(answer)

    def _receive(self, size: int) -> bytes:
        try:
            piece = self._pipe.recv(size)
        except self._late:
            raise EvaluatorUnavailable("the evaluator did not answer in time") from None
        except ConnectionError:
            piece = b""
        if not piece:
            self._exit_reason()
        return piece

    def _exit_reason(self) -> None:
        """Raise the error that fits the exit status after the pipe has broken."""
        status = self._process.wait()
        if status == -signal.SIGPROF:
            raise OutOfTime
        if -status in _MEMORY_SIGNALS:
            raise OutOfMemory
        raise EvaluatorUnavailable(f"the evaluator ended unexpectedly ({status})")


def _start(
    pipe: socket.socket, engine: str, bounds: tuple[int, float, int]
) -> subprocess.Popen[bytes]:
    memory, cpu, result = bounds
    path = _jq_path() if engine == sandbox_child.JQ else _schema_folder()
    command = [python_executable(), "-I", "-S", "-B", sandbox_child.__file__, engine, path]
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
    """Return an empty environment, except for the path of shared libraries that an interpreter may
    need to start. The child clears it, too."""
    path = os.environ.get("LD_LIBRARY_PATH")
    return {"LD_LIBRARY_PATH": path} if path else {}


def _jq_path() -> str:
    spec = importlib.util.find_spec("jq")
    if spec is None or spec.origin is None:
        raise EvaluatorUnavailable("the jq package is not installed")
    return spec.origin


def _schema_folder() -> str:
    spec = importlib.util.find_spec("jsonschema_rs")
    if spec is None or spec.origin is None:
        raise EvaluatorUnavailable("the jsonschema-rs package is not installed")
    return str(Path(spec.origin).parent.parent)
