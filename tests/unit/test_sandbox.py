"""The sandbox's process: what it can reach, how it dies, what is left of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator.expressions import Evaluator, EvaluatorUnavailable, ExpressionError
from orchestrator.expressions.sandbox import Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    sandbox.close()


def ask(sandbox: Sandbox, program: str, data: bytes = b"[null]") -> bytes | None:
    return sandbox.evaluate(f".[0] | ({program}) | tojson".encode(), data)


def child_of(sandbox: Sandbox) -> psutil.Process:
    ask(sandbox, "1")
    assert sandbox.expressions._child is not None
    return psutil.Process(sandbox.expressions._child._process.pid)


def await_death(child: psutil.Process) -> None:
    """Wait for a child of ours to end, and leave it to be reaped."""
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_the_child_owns_nothing(sandbox: Sandbox) -> None:
    child = child_of(sandbox)
    assert os.listdir(f"/proc/{child.pid}/fd") == ["0"]
    assert os.readlink(f"/proc/{child.pid}/fd/0").startswith("socket:")
    assert child.cwd() == "/"
    assert Path(f"/proc/{child.pid}/environ").read_bytes() == b""
    assert child.rlimit(psutil.RLIMIT_NOFILE) == (0, 0)
    assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)
    assert os.getsid(child.pid) != os.getsid(0)


def test_without_the_rules_it_still_finds_nothing(sandbox: Sandbox) -> None:
    """The child alone, with no look at the program, is fence enough."""
    assert ask(sandbox, "env") in (b"{}", b'{"TZ":"UTC"}')
    assert ask(sandbox, "$ENV") in (b"{}", b'{"TZ":"UTC"}')
    with pytest.raises(ExpressionError):
        ask(sandbox, "input")
    with pytest.raises(ExpressionError):
        sandbox.evaluate(b'import "/etc/passwd" as $p; $p', b"[null]")
    with pytest.raises(ExpressionError):
        sandbox.evaluate(b'import "passwd" as $p {search: "/etc"}; $p', b"[null]")


@pytest.mark.parametrize("name", ["SIGKILL", "SIGUSR1", "SIGILL"])
def test_a_death_by_another_hand_says_nothing_about_the_program(
    sandbox: Sandbox, name: str
) -> None:
    child = child_of(sandbox)
    child.send_signal(getattr(signal, name))
    await_death(child)
    with pytest.raises(EvaluatorUnavailable):
        ask(sandbox, "1")
    assert ask(sandbox, "1") == b"1"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_for_the_group_are_not_its_affair(sandbox: Sandbox, name: str) -> None:
    child = child_of(sandbox)
    child.send_signal(getattr(signal, name))
    assert ask(sandbox, "1") == b"1"
    assert child_of(sandbox).pid == child.pid


def test_a_child_that_does_not_answer_is_replaced() -> None:
    sandbox = Sandbox(deadline=2)
    child = child_of(sandbox)
    child.suspend()
    with pytest.raises(EvaluatorUnavailable, match="in time"):
        ask(sandbox, "1")
    assert not child.is_running()
    assert ask(sandbox, "1") == b"1"
    sandbox.close()


def test_memory_is_proven_by_a_fresh_child(sandbox: Sandbox) -> None:
    """A death for want of memory may have been the fault of what came before."""
    child = child_of(sandbox)
    child.send_signal(signal.SIGABRT)
    await_death(child)
    assert ask(sandbox, "1") == b"1"
    with pytest.raises(ExpressionError, match="memory"):
        ask(sandbox, '"x" * 1e9')


def test_a_child_that_has_grown_is_replaced(sandbox: Sandbox) -> None:
    if psutil.Process().memory_info().rss > 100 << 20:
        pytest.skip("a process inherits its parent's peak of memory, and this one is large")
    pid = child_of(sandbox).pid
    assert ask(sandbox, '"x" * 140e6 | length') == b"140000000"
    assert child_of(sandbox).pid != pid


def test_a_result_has_a_bound() -> None:
    sandbox = Sandbox(result=1000)
    assert ask(sandbox, '"x" * 900') == b'"' + b"x" * 900 + b'"'
    with pytest.raises(ExpressionError, match="larger than 1000 bytes"):
        ask(sandbox, '"x" * 1000')
    sandbox.close()


def test_large_data_goes_both_ways(sandbox: Sandbox) -> None:
    data = b'["' + b"x" * 5_000_000 + b'"]'
    assert ask(sandbox, ".", data) == data[1:-1]


def test_an_interrupted_conversation_is_given_up(sandbox: Sandbox) -> None:
    """An exception from a signal handler (Celery's soft time limit) in the middle of a call
    must not leave its answer to the next one."""
    ask(sandbox, "1")

    def interrupt(*_: object) -> None:
        raise TimeoutError

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(TimeoutError):
            ask(sandbox, "[range(1e9)] | 2")
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert ask(sandbox, "1") == b"1"


def test_nothing_is_left() -> None:
    before, processes = open_files(), len(psutil.Process().children())
    evaluator = Evaluator()
    for program in ("[1] | first", "def f: f; f", "def f: [f]; f", "error(1)", "[2] | first"):
        try:
            evaluator.evaluate(program, None, {})
        except ExpressionError:
            continue
    assert len(psutil.Process().children()) == processes + 1
    evaluator.close()
    assert open_files() == before
    assert len(psutil.Process().children()) == processes


def test_threads_get_their_own_answers(sandbox: Sandbox) -> None:
    wrong: list[object] = []

    def work(number: int) -> None:
        for _ in range(50):
            answer = ask(sandbox, ".", b"[%d]" % number)
            if answer != b"%d" % number:
                wrong.append(answer)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_it_outlives_the_thread_that_started_it(sandbox: Sandbox) -> None:
    thread = threading.Thread(target=ask, args=(sandbox, "1"))
    thread.start()
    thread.join()
    assert sandbox.expressions._child is not None
    pid = sandbox.expressions._child._process.pid
    assert child_of(sandbox).pid == pid


def test_a_forked_process_has_its_own(sandbox: Sandbox) -> None:
    pid = child_of(sandbox).pid
    reader, writer = os.pipe()
    fork = os.fork()
    if fork == 0:
        try:
            other = child_of(sandbox).pid
            os.write(writer, f"{other} {psutil.Process(other).ppid()} {os.getpid()}".encode())
            sandbox.close()
        finally:
            os._exit(0)
    os.waitpid(fork, 0)
    other, parent, forked = map(int, os.read(reader, 100).split())
    os.close(reader)
    os.close(writer)
    assert other != pid
    assert parent == forked
    assert child_of(sandbox).pid == pid


def test_a_fork_while_another_thread_asks(sandbox: Sandbox) -> None:
    """The lock that the other thread holds is not the forked process's."""
    ask(sandbox, "1")
    with sandbox.expressions._lock:
        fork = os.fork()
        if fork == 0:
            status = 1
            try:
                signal.alarm(20)
                status = 0 if ask(sandbox, "1") == b"1" else 1
                sandbox.close()
            finally:
                os._exit(status)
    assert os.waitpid(fork, 0)[1] == 0
    assert ask(sandbox, "1") == b"1"


def test_it_works_in_a_daemonic_pool_process() -> None:
    """As Celery's prefork has them, where `multiprocessing` would refuse to start children."""
    from billiard import get_context

    with get_context("fork").Pool(1) as pool:
        assert pool.apply(_evaluate_once) == 2


def _evaluate_once() -> int:
    evaluator = Evaluator()
    result: int = evaluator.evaluate("[2] | first", None, {})
    evaluator.close()
    return result


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_parent(how: signal.Signals) -> None:
    code = (
        "from orchestrator.expressions import Evaluator; import sys\n"
        "e = Evaluator(); e.evaluate('[1] | first', None, {})\n"
        "print(e.sandbox.expressions._child._process.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(how)
    parent.wait()
    child.wait(10)  # it has ended, and someone has reaped it
    for stream in (parent.stdin, parent.stdout):
        assert stream is not None
        stream.close()


def test_it_ends_in_order_where_nobody_closes_it() -> None:
    code = (
        "from orchestrator.expressions import Evaluator\n"
        "e = Evaluator(); assert e.evaluate('[1] | first', None, {}) == 1\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_python_that_cannot_start_is_the_machines_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python3")
    sandbox = Sandbox()
    with pytest.raises(EvaluatorUnavailable, match="cannot be started"):
        ask(sandbox, "1")
