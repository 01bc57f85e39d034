"""Runs the sandbox's child process, sends it programs, and interprets its exit.

Theory of operation. One child serves one process. It is started by the first expression that needs
it and exits when its end of the pipe reads end-of-file, however the parent dies. (A parent-death
signal would fire when the *thread* that started the child ends, so none is set.) After a fork the
new process closes the inherited end and starts its own child. A partial answer makes the pipe
unusable, so any interruption also stops the child.

What an exit means: SIGPROF means that a call used up its CPU time. SIGABRT and SIGSEGV mean memory
(libjq aborts without memory; nested data overflows the stack). Only a fresh child proves that the
program needs too much, because an old child may have been nearly full; so the program runs once
more. Every other exit is the machine's fault.
"""

from __future__ import annotations

import os
import threading
import weakref

from orchestrator.expressions import sandbox_child
from orchestrator.expressions.errors import ExpressionError
from orchestrator.expressions.sandbox_process import OutOfMemory, SandboxProcess


class Sandbox:
    """A jq process of its own. Thread-safe (one program at a time), fork-safe."""

    def __init__(
        self,
        cpu: float = 0.8,
        memory: int = 256 * 1024 * 1024,
        result: int = 32 * 1024 * 1024,
        deadline: float = 20.0,
    ) -> None:
        """Set the bounds. `cpu` seconds and `memory` bytes bound the program, `result` the bytes of
        its result; `deadline` bounds the wait for an answer, in seconds of wall-clock time."""
        self._bounds = (memory, cpu, result)
        self._deadline = deadline
        self._lock = threading.Lock()
        self._child: SandboxProcess | None = None
        _sandboxes.add(self)

    def evaluate(self, program: bytes, data: bytes) -> bytes | None:
        """Run a program on a JSON text, or only compile it if there is no data.

        Returns the first result, or None without a result. Raises `ExpressionError` or
        `EvaluatorUnavailable`.
        """
        with self._lock:
            fresh = self._child is None
            try:
                return self._evaluate_once(program, data)
            except OutOfMemory:
                if fresh:
                    raise ExpressionError("the expression used too much memory") from None
            try:
                return self._evaluate_once(program, data)
            except OutOfMemory:
                raise ExpressionError("the expression used too much memory") from None

    def close(self) -> None:
        """Stop the child. A later program starts another one."""
        with self._lock:
            self._drop()

    def detach(self) -> None:
        """Reset after a fork: the child belongs to the parent process, and the lock may be
        locked."""
        self._lock = threading.Lock()
        if self._child is not None:
            self._child.detach()
            self._child = None

    def _evaluate_once(self, program: bytes, data: bytes) -> bytes | None:
        if self._child is None:
            self._child = SandboxProcess(self._bounds, self._deadline)
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
            raise OutOfMemory
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


def _compile_message(message: str) -> str:
    """Return libjq's first error. Its line number is corrected: the user's program begins on the
    second line."""
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
