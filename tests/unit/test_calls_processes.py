"""`run: shell` and `run: script`: arguments, results and errors."""

from __future__ import annotations

import os
import shutil
from typing import Any

import pytest

from orchestrator.calls import CallContext, perform
from orchestrator.calls.process_policy import ProcessPolicy
from orchestrator.errors import WorkflowError
from orchestrator.expressions import Evaluator
from orchestrator.outbound import OutboundClient
from orchestrator.process_runner import Isolation
from orchestrator.process_runner.isolation import PATH
from tests.support.http_stub import Answer, Stub

ALLOWED = ProcessPolicy(frozenset({"shell", "script"}), Isolation.NONE, 100_000)
needs_node = pytest.mark.skipif(
    shutil.which("node", path=PATH) is None, reason="this machine has no node"
)


@pytest.fixture(scope="module")
def evaluator():
    evaluator = Evaluator()
    yield evaluator
    evaluator.close()


@pytest.fixture
def context(evaluator: Evaluator) -> CallContext:
    outbound = OutboundClient(allow=("127.0.0.0/8",), timeout=5)
    return CallContext(outbound, evaluator.evaluate, input={"n": 7}, processes=ALLOWED)


def shell(context: CallContext, command: str, *, constant: Any = None, **arguments: Any) -> Any:
    constant = {"command": command, **(constant or {})}
    return perform({"kind": "shell", "with": arguments, "constant": constant}, context)


def script(context: CallContext, code: str, language: str = "python", **more: Any) -> Any:
    constant = {"code": code, "language": language, **more.pop("constant", {})}
    return perform({"kind": "script", "with": more, "constant": constant}, context)


def error_of(call: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    with pytest.raises(WorkflowError) as caught:
        call(*args, **kwargs)
    error = caught.value.to_json()
    return {**error, "type": error["type"].rsplit("/", 1)[-1]}


@pytest.mark.parametrize(
    ("command", "arguments", "expected"),
    [
        ("echo", {"arguments": ["hello", "a b"]}, "hello a b"),
        ("echo ", {"arguments": ["x"]}, "x"),
        ('echo "$2 $1"', {"arguments": ["a", "b"]}, "b a"),
        ("echo ${1}${2}", {"arguments": ["a", "b"]}, "ab"),
        ("echo one\necho two\n", {"arguments": ["x"]}, "one\ntwo"),
        ("echo $NAME", {"environment": {"NAME": "v; echo no"}}, "v; echo no"),
        ("cat", {"stdin": "in"}, "in"),
        ("cat", {"stdin": {"a": [1, None]}}, '{"a":[1,null]}'),
        ("printf '%s.' ", {"arguments": [1, True, None, {"k": "v"}]}, '1.true.null.{"k":"v"}.'),
        ("echo", {"arguments": ["$(id)", "`id`", ";id"]}, "$(id) `id` ;id"),
        ("printf 'a\n\n'", {}, "a\n"),
    ],
)
def test_a_command_gets_its_data_as_data(
    context: CallContext, command: str, arguments: dict[str, Any], expected: str
) -> None:
    assert shell(context, command, **arguments) == expected


@pytest.mark.parametrize(
    ("returns", "expected"),
    [
        ("stdout", "out"),
        ("stderr", "err"),
        ("code", 0),
        ("all", {"code": 0, "stdout": "out", "stderr": "err"}),
        ("none", None),
    ],
)
def test_return_selects_the_output(context: CallContext, returns: str, expected: Any) -> None:
    command = "echo out; echo err >&2"
    assert shell(context, command, constant={"return": returns}) == expected


@pytest.mark.parametrize("returns", ["stdout", "none"])
def test_a_failed_command_faults_where_nothing_shows_it(context: CallContext, returns: str) -> None:
    error = error_of(shell, context, "echo no >&2; exit 3", constant={"return": returns})
    assert (error["type"], error["status"]) == ("runtime", 500)
    assert error["detail"] == "it ended with the exit status 3: no"
    assert error["data"] == {"code": 3, "stdout": "", "stderr": "no"}


@pytest.mark.parametrize(
    ("returns", "expected"),
    [("code", 3), ("stderr", "no"), ("all", {"code": 3, "stdout": "", "stderr": "no"})],
)
def test_a_failed_command_is_data_elsewhere(
    context: CallContext, returns: str, expected: Any
) -> None:
    assert shell(context, "echo no >&2; exit 3", constant={"return": returns}) == expected


def test_a_failed_script_faults_unless_its_code_is_asked_for(context: CallContext) -> None:
    for returns in ("stdout", "stderr", "all", "none"):
        error = error_of(script, context, "raise ValueError('bad')", constant={"return": returns})
        assert error["type"] == "runtime"
        assert "ValueError: bad" in error["detail"]
    assert script(context, "raise SystemExit(9)", constant={"return": "code"}) == 9


def test_a_python_script(context: CallContext) -> None:
    code = "import os, sys\nprint(sys.argv[1:], os.environ['E'], sys.stdin.read())"
    ran = script(context, code, arguments=["a"], environment={"E": 1}, stdin="s")
    assert ran == "['a'] 1 s"
    ran = script(
        context, code, arguments={"name": "x", "flag": True, "no": None}, environment={"E": 2}
    )
    assert ran == "['--name', 'x', '--flag'] 2 "


@needs_node
@pytest.mark.parametrize(
    "code",
    [
        "console.log(process.argv[2], process.env.E, require('fs').readFileSync(0, 'utf8'))",
        "import { readFileSync } from 'node:fs';\n"
        "console.log(process.argv[2], process.env.E, readFileSync(process.stdin.fd, 'utf8'))",
    ],
)
@pytest.mark.parametrize("language", ["js", "javascript"])
def test_a_javascript_script(context: CallContext, code: str, language: str) -> None:
    ran = script(context, code, language, arguments=["a"], environment={"E": "b"}, stdin="c")
    assert ran == "a b c"


def test_a_script_from_elsewhere(context: CallContext) -> None:
    with Stub(lambda request: Answer(body=b"print('fetched')")) as stub:
        source = {"source": {"endpoint": f"{stub.url}/script.py"}}
        call = {"kind": "script", "with": source, "constant": {"language": "python"}}
        assert perform(call, context) == "fetched"
    with Stub(lambda request: Answer(404)) as stub:
        call["with"] = {"source": {"endpoint": f"{stub.url}/script.py"}}
        error = error_of(perform, call, context)
    assert (error["type"], error["status"]) == ("communication", 404)


def test_not_awaited_the_input_is_the_output(context: CallContext) -> None:
    assert shell(context, "sleep 0.1; exit 9", constant={"await": False}) == {"n": 7}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"arguments": ["a\0b"]}, "arguments[0] contains a NUL"),
        ({"arguments": ["a" * 200_000]}, "arguments[0] is longer than"),
        ({"arguments": "text"}, "a list or an object"),
        ({"environment": {"A=B": "x"}}, "'A=B' is no name of an environment variable"),
        ({"environment": ["x"]}, "the environment of a process is an object"),
    ],
)
def test_arguments_that_no_process_can_get(
    context: CallContext, arguments: dict[str, Any], text: str
) -> None:
    error = error_of(shell, context, "echo", **arguments)
    assert (error["type"], error["status"]) == ("validation", 400)
    assert text in error["detail"]


def test_an_empty_command_is_refused(context: CallContext) -> None:
    assert error_of(shell, context, "  ")["detail"] == "the shell command is empty"


def test_what_ends_it_early_is_told(evaluator: Evaluator, context: CallContext) -> None:
    error = error_of(shell, context, "kill -9 $$")
    assert error["type"] == "runtime"
    assert "9" in error["detail"] or "137" in error["detail"]
    error = error_of(shell, context, "yes")
    assert error["detail"] == "the process wrote more than 100000 bytes (ORCHESTRATOR_MAX_PAYLOAD)"
    hasty = CallContext(context.outbound, evaluator.evaluate, timeout=0.3, processes=ALLOWED)
    error = error_of(shell, hasty, "sleep 600")
    assert (error["type"], error["status"]) == ("timeout", 408)


@pytest.mark.parametrize("kind", ["shell", "script"])
def test_nothing_runs_unless_it_is_allowed(evaluator: Evaluator, kind: str) -> None:
    other = ({"shell", "script"} - {kind}).pop()
    for allowed in (frozenset[str](), frozenset({other})):
        context = CallContext(
            OutboundClient(), evaluator.evaluate, processes=ProcessPolicy(allowed, Isolation.NONE)
        )
        constant = {"command": "touch /tmp/never", "code": "", "language": "python"}
        error = error_of(perform, {"kind": kind, "with": {}, "constant": constant}, context)
        assert (error["type"], error["status"]) == ("configuration", 400)
        assert f"ORCHESTRATOR_RUN_{kind.upper()}" in error["detail"]


def test_too_little_isolation_is_refused(
    context: CallContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "orchestrator.calls.process_call.available_isolation", lambda: Isolation.PROCESS
    )
    for least, refused in (("process", False), ("uid", True), ("namespaces", True)):
        policy = ProcessPolicy(ALLOWED.allowed, Isolation(least))
        strict = CallContext(context.outbound, context.evaluate, processes=policy)
        if refused:
            detail = error_of(shell, strict, "true")["detail"]
            assert "by 'process' at best" in detail
            assert f"'{least}'" in detail
        elif os.path.exists("/sys/kernel/security"):
            shell(strict, "true")


def test_a_secret_is_evaluated_late_and_masked(evaluator: Evaluator, context: CallContext) -> None:
    secret = CallContext(
        context.outbound,
        evaluator.evaluate,
        secret_names=("pin",),
        secret=lambda name: "swordfish",
        processes=ALLOWED,
    )
    call = {
        "kind": "shell",
        "deferred": True,
        "with": {"environment": {"PIN": "${ $secrets.pin }"}, "arguments": ["${ .n }"]},
        "constant": {"command": 'echo "$PIN $1"'},
        "input": {"n": 5},
        "variables": {},
    }
    assert perform(call, secret) == "*** 5"
    call["constant"] = {"command": 'echo "no $PIN" >&2; exit 1'}
    assert error_of(perform, call, secret)["detail"] == "it ended with the exit status 1: no ***"
