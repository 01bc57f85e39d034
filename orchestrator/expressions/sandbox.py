"""Runs the sandbox's child processes, sends them programs, and interprets their exits.

Theory of operation. One child for expressions and one for schemas serve one process. Each is
started by the first program that needs it and exits when its end of the pipe reads end-of-file,
however the parent dies. (A parent-death
signal would fire when the *thread* that started the child ends, so none is set.) After a fork the
new process closes the inherited end and starts its own child. A partial answer makes the pipe
unusable, so any interruption also stops the child.

What an exit means: SIGPROF means that a call used up its CPU time. SIGABRT and SIGSEGV mean memory
(libjq aborts without memory; nested data overflows the stack). Only a fresh child proves that the
program needs too much, because an old child may have been nearly full; so the program runs once
more. Every other exit is the machine's fault.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.expressions import sandbox_child
from orchestrator.expressions.errors import ExpressionError
from orchestrator.expressions.sandbox_process import OutOfMemory, OutOfTime, SandboxProcess


@dataclass(frozen=True, slots=True)
class ProgramOutcome:
    """How a program ended: with the JSON text of its first result, without a result (None), or with
    the workflow's `error`. `cpu`: the seconds of CPU that it used."""

    result: bytes | None
    cpu: float
    error: ExpressionError | None = None

    def value(self) -> bytes | None:
        """Return the result, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.result


class SchemaText(bytes):
    """The JSON text of a JSON Schema, which `Sandbox` validates data by instead of running a
    program. The result is JSON: null, or the first error `{path: [...], message}`."""

    __slots__ = ()


class Sandbox:
    """Processes of its own for jq and for JSON Schemas. Thread-safe (one program at a time each),
    fork-safe."""

    def __init__(
        self,
        cpu: float = 0.8,
        memory: int = 256 * 1024 * 1024,
        result: int = 32 * 1024 * 1024,
        deadline: float = 20.0,
    ) -> None:
        """Set the bounds. `cpu` seconds and `memory` bytes bound the program, `result` the bytes of
        its result; `deadline` bounds the wait for an answer, in seconds of wall-clock time."""
        #: The most seconds of CPU that one program may use.
        self.cpu = cpu
        bounds = (memory, cpu, result)
        self.expressions = _Engine(sandbox_child.JQ, "expression", bounds, deadline)
        self.schemas = _Engine(sandbox_child.SCHEMA, "validation by the schema", bounds, deadline)

    def evaluate(self, program: bytes, data: bytes) -> bytes | None:
        """Run a program on a JSON text, or only compile it if there is no data.

        Returns the first result, or None without a result. Raises `ExpressionError` or
        `EvaluatorUnavailable`.
        """
        return self.run(program, data).value()

    def run(
        self,
        program: bytes,
        data: bytes,
        cpu: float | None = None,
        patience: float = 0.0,
        on_slow: Callable[[], None] | None = None,
    ) -> ProgramOutcome:
        """Run a program (or a `SchemaText`) as `evaluate` does, with at most `cpu` seconds of CPU,
        and return how it ended. `on_slow` is called once if it has not ended after `patience`
        seconds; what it raises stops the program. Raises `EvaluatorUnavailable`."""
        cpu = self.cpu if cpu is None else min(cpu, self.cpu)
        engine = self.schemas if isinstance(program, SchemaText) else self.expressions
        return engine.run(program, data, cpu, patience, on_slow)

    def close(self) -> None:
        """Stop the children. A later program starts another one."""
        self.expressions.close()
        self.schemas.close()


class _Engine:
    """One kind of child. `noun` names in messages what it does."""

    def __init__(
        self, name: str, noun: str, bounds: tuple[int, float, int], deadline: float
    ) -> None:
        self._name = name
        self._noun = noun
        self._bounds = bounds
        self._deadline = deadline
        self._lock = threading.Lock()
        self._child: SandboxProcess | None = None
        _engines.add(self)

    @property
    def busy(self) -> bool:
        """Whether it runs a program now."""
        return self._lock.locked()

    def run(
        self,
        program: bytes,
        data: bytes,
        cpu: float,
        patience: float,
        on_slow: Callable[[], None] | None,
    ) -> ProgramOutcome:
        """Run a program; see `Sandbox.run`."""
        with self._lock:
            fresh = self._child is None
            try:
                return self._run_once(program, data, cpu, patience, on_slow)
            except OutOfMemory:
                if fresh:
                    return ProgramOutcome(None, cpu, self._too_much_memory())
            try:
                return self._run_once(program, data, cpu, 0.0, None)
            except OutOfMemory:
                return ProgramOutcome(None, cpu, self._too_much_memory())

    def close(self) -> None:
        """Stop the child. A later program starts another one."""
        with self._lock:
            self._drop()

    def close_if_idle(self) -> None:
        """Stop the child, unless it runs a program."""
        if self._lock.acquire(blocking=False):
            try:
                self._drop()
            finally:
                self._lock.release()

    def detach(self) -> None:
        """Reset after a fork: the child belongs to the parent process, and the lock may be
        locked."""
        self._lock = threading.Lock()
        if self._child is not None:
            self._child.detach()
            self._child = None

    def _run_once(
        self,
        program: bytes,
        data: bytes,
        cpu: float,
        patience: float,
        on_slow: Callable[[], None] | None,
    ) -> ProgramOutcome:
        if self._child is None:
            self._child = SandboxProcess(self._name, self._bounds, self._deadline)
        try:
            how, used, text = self._child.evaluate(program, data, cpu, patience, on_slow)
        except OutOfTime:
            self._drop()
            message = f"the {self._noun} took more than {cpu:.2g} s of CPU time"
            return ProgramOutcome(None, cpu, ExpressionError(message))
        except BaseException:
            self._drop()
            raise
        if how & sandbox_child.LAST or how == sandbox_child.MEMORY:
            self._drop()
        return self._outcome(how & ~sandbox_child.LAST, used, text)

    def _outcome(self, how: int, cpu: float, text: bytes) -> ProgramOutcome:
        if how == sandbox_child.RESULT:
            return ProgramOutcome(text, cpu)
        if how == sandbox_child.NOTHING:
            return ProgramOutcome(None, cpu)
        if how == sandbox_child.MEMORY:
            raise OutOfMemory
        if how == sandbox_child.TOO_LARGE:
            message = f"the result is larger than {self._bounds[2]} bytes"
        else:
            message = text.decode("utf-8", "replace")
            if how == sandbox_child.INVALID and self._name == sandbox_child.JQ:
                message = _compile_message(message)
        return ProgramOutcome(None, cpu, ExpressionError(message))

    def _too_much_memory(self) -> ExpressionError:
        return ExpressionError(f"the {self._noun} used too much memory")

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


_engines: weakref.WeakSet[_Engine] = weakref.WeakSet()


def _detach_all() -> None:
    for engine in _engines:
        engine.detach()


def _close_all() -> None:
    """Stop the children of evaluators that nobody closed. One that is busy ends with this
    process."""
    for engine in list(_engines):
        engine.close_if_idle()


os.register_at_fork(after_in_child=_detach_all)
atexit.register(_close_all)
