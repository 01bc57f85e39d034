"""Makes any document again with the functions of `orchestrator.dsl`, as its author would in code.

Every key must have an argument or a method: one that has none raises, so that nothing of the
language is missing from the builder.
"""

from __future__ import annotations

import re
from typing import Any

from orchestrator import dsl
from orchestrator.dsl import Task, Workflow, expr

Json = Any

_PROGRAM = re.compile(r"\s*\$\{(.*)\}\s*")


def values(value: Json) -> Json:
    """Text that is an expression becomes one."""
    if isinstance(value, str) and (program := _PROGRAM.fullmatch(value)):
        return expr(program[1])
    if isinstance(value, dict):
        return {name: values(item) for name, item in value.items()}
    return [values(item) for item in value] if isinstance(value, list) else value


def program(text: Json) -> Any:
    """A field that is always an expression; jq stands in it with or without ``${ }``."""
    return values(text) if not isinstance(text, str) else expr(text)


def same(value: Json) -> Json:
    """A document in which an expression is written one way."""
    if isinstance(value, str):
        found = _PROGRAM.fullmatch(value)
        return re.sub(r"\s+", " ", found[1].strip() if found else value.strip())
    if isinstance(value, dict):
        return {name: same(item) for name, item in value.items()}
    return [same(item) for item in value] if isinstance(value, list) else value


def rebuilt(document: Json) -> Workflow:
    rest = dict(document)
    about = dict(rest.pop("document"))
    name = f"{about.pop('namespace')}/{about.pop('name')}"
    metadata = about.pop("metadata", None)
    made = Workflow(name, about.pop("version"), **about)
    if metadata:
        made = made.metadata(**values(metadata))
    made = _modified(made, rest)
    if "use" in rest:
        made = made.use(**_use(rest.pop("use")))
    if "schedule" in rest:
        made = made.schedule(_schedule(rest.pop("schedule")))
    if "evaluate" in rest:
        made = made.evaluate(**rest.pop("evaluate"))
    made = made.do(*tasks(rest.pop("do")))
    assert not rest, rest
    return made


def tasks(items: list[Json]) -> list[Task]:
    return [task(body).named(name) for item in items for name, body in item.items()]


def task(body: Json) -> Task:
    rest = dict(body)
    kind = next(each for each in KINDS if each in rest)
    return _checked(_modified(KINDS[kind](rest), rest), rest)


def _checked(made: Task, rest: Json) -> Task:
    assert not rest, rest
    return made


def _modified(made: Any, rest: Json) -> Any:
    if "if" in rest:
        made = made.when(program(rest.pop("if")))
    for name in ("input", "output"):
        if name in rest:
            body = rest.pop(name)
            value = program(body.get("from", body.get("as")))
            made = getattr(made, name)(value, schema=body.get("schema"))
    if "export" in rest:
        export = rest.pop("export")
        made = made.export_as(program(export["as"]), schema=export.get("schema"))
    if "timeout" in rest:
        limit = rest.pop("timeout")
        made = made.timeout(use=limit) if isinstance(limit, str) else made.timeout(limit["after"])
    if "then" in rest:
        made = made.then(rest.pop("then"))
    if "metadata" in rest:
        metadata = dict(rest.pop("metadata"))
        if "compensate" in metadata:
            made = made.compensate_by(task(metadata.pop("compensate")))
        made = made.metadata(**values(metadata)) if metadata else made
    return made


# -- kinds ---------------------------------------------------------------------


def _call(rest: Json) -> Task:
    kind, arguments = rest.pop("call"), dict(rest.pop("with", {}))
    if kind in CALLS:
        made = CALLS[kind](arguments)
        assert not arguments, arguments
        return made
    if "@" in kind or "." not in kind:
        return dsl.call_function(kind, **values(arguments))
    return dsl.call_by_name(kind, **values(arguments))


def _given(arguments: Json, /, **names: str) -> dict[str, Any]:
    return {to: values(arguments.pop(name)) for to, name in names.items() if name in arguments}


def _http(arguments: Json) -> Task:
    method, at = arguments.pop("method"), values(arguments.pop("endpoint"))
    if isinstance(at, dict):
        at = dsl.endpoint(at["uri"], at.get("authentication"))
    names = ("headers", "body", "query", "output", "redirect")
    return dsl.call_http(method, at, **_given(arguments, **{name: name for name in names}))


def _openapi(arguments: Json) -> Task:
    document, operation = values(arguments.pop("document")), arguments.pop("operationId")
    names = ("parameters", "authentication", "output", "redirect")
    more = _given(arguments, **{name: name for name in names})
    return dsl.call_openapi(
        dsl.resource(document["endpoint"], document.get("name")), operation, **more
    )


def _grpc(arguments: Json) -> Task:
    proto, service, method = (arguments.pop(name) for name in ("proto", "service", "method"))
    return dsl.call_grpc(
        proto["endpoint"], values(service), method, **_given(arguments, arguments="arguments")
    )


def _asyncapi(arguments: Json) -> Task:
    subscription = arguments.pop("subscription", None)
    if subscription is not None:
        foreach = subscription.pop("foreach", None)
        subscription = values(subscription) | ({"foreach": _iterator(foreach)} if foreach else {})
    names = ("channel", "operation", "server", "protocol", "message", "authentication")
    more = _given(arguments, **{name: name for name in names})
    document = values(arguments.pop("document"))["endpoint"]
    return dsl.call_asyncapi(document, subscription=subscription, **more)


def _a2a(arguments: Json) -> Task:
    more = _given(arguments, agent_card="agentCard", server="server", parameters="parameters")
    return dsl.call_a2a(arguments.pop("method"), **more)


def _mcp(arguments: Json) -> Task:
    method, transport = arguments.pop("method"), values(arguments.pop("transport"))
    names = {"protocol_version": "protocolVersion", "parameters": "parameters"}
    more = _given(arguments, **names, timeout="timeout", client="client")
    return dsl.call_mcp(method, transport, **more)


def _celery(arguments: Json) -> Task:
    given = _given(arguments, args="args", kwargs="kwargs", queue="queue", priority="priority")
    made = dsl.call_by_name(
        arguments.pop("task"), *given.pop("args", ()), **given.pop("kwargs", {})
    )
    return made.on(**given) if given else made


CALLS = {
    "http": _http, "openapi": _openapi, "grpc": _grpc, "asyncapi": _asyncapi, "a2a": _a2a,
    "mcp": _mcp, "celery": _celery,
}  # fmt: skip


def _for(rest: Json) -> Task:
    loop, done = dict(rest.pop("for")), tasks(rest.pop("do"))
    more = {"while_": program(rest.pop("while"))} if "while" in rest else {}
    return dsl.for_each(loop.pop("each", None), program(loop.pop("in")), *done, **loop, **more)


def _try(rest: Json) -> Task:
    made, catch = dsl.try_(*tasks(rest.pop("try"))), dict(rest.pop("catch"))
    more: dict[str, Any] = {
        to: program(catch.pop(name))
        for to, name in {"when": "when", "except_when": "exceptWhen"}.items()
        if name in catch
    }
    if "errors" in catch:
        more["errors"] = catch.pop("errors")["with"]
    if "as" in catch:
        more["as_"] = catch.pop("as")
    if "retry" in catch:
        retry = catch.pop("retry")
        more["retry"] = retry if isinstance(retry, str) else _retry(retry)
    done = tasks(catch.pop("do", []))
    return made.catch(*done, **catch, **more)


def _retry(body: Json) -> Any:
    rest = dict(body)
    limit = dict(rest.pop("limit", {}))
    attempt = limit.pop("attempt", {})
    more: dict[str, Any] = {
        to: program(rest.pop(name))
        for to, name in {"when": "when", "except_when": "exceptWhen"}.items()
        if name in rest
    }
    if "jitter" in rest:
        jitter = rest.pop("jitter")
        more["jitter"] = jitter["from"], jitter["to"]
    return dsl.retry(
        attempts=attempt.get("count"),
        attempt_timeout=attempt.get("duration"),
        within=limit.pop("duration", None),
        **rest,
        **more,
    )


def _switch(rest: Json) -> Task:
    cases = {name: body for item in rest.pop("switch") for name, body in item.items()}
    made = {
        name: dsl.case(program(body["when"]) if "when" in body else None, body["then"])
        for name, body in cases.items()
    }
    return dsl.switch(**made)


def _fork(rest: Json) -> Task:
    fork = rest.pop("fork")
    return dsl.fork(*tasks(fork["branches"]), compete=fork.get("compete"))


def _raise(rest: Json) -> Task:
    error = rest.pop("raise")["error"]
    return dsl.raise_(error if isinstance(error, str) else dsl.error_of(**values(error)))


def _listen(rest: Json) -> Task:
    listen = rest.pop("listen")
    foreach = _iterator(rest.pop("foreach")) if "foreach" in rest else None
    return dsl.listen(_consumption(listen["to"]), read=listen.get("read"), foreach=foreach)


def _iterator(body: Json) -> Any:
    rest = dict(body)
    more = {name: program(rest.pop(name)["as"]) for name in ("output", "export") if name in rest}
    return dsl.iterator(*tasks(rest.pop("do", [])), **rest, **more)


def _consumption(to: Json) -> Any:
    if "one" in to:
        return dsl.one(_filter(to["one"]))
    if "all" in to:
        return dsl.all_events(*map(_filter, to["all"]))
    until = to.get("until")
    end = _consumption(until) if isinstance(until, dict) else until and program(until)
    return dsl.any_event(*map(_filter, to["any"]), until=end)


def _filter(body: Json) -> Any:
    keys = {
        name: dsl.correlation(program(each["from"]), each.get("expect") and program(each["expect"]))
        for name, each in body.get("correlate", {}).items()
    }
    return dsl.event(correlate=keys or None, **values(body["with"]))


def _run(rest: Json) -> Task:
    run = dict(rest.pop("run"))
    shared = {f"{name}_": run.pop(name) for name in ("await", "return") if name in run}
    ((kind, body),) = run.items()
    body = values(body)
    if kind == "workflow":
        name = f"{body['namespace']}/{body['name']}"
        return dsl.run_workflow(name, body.get("input"), version=body["version"], **shared)
    if "pullPolicy" in body:
        body["pull_policy"] = body.pop("pullPolicy")
    made: Any = getattr(dsl, f"run_{kind}")
    return made(**body, **shared)


def _set(rest: Json) -> Task:
    value = values(rest.pop("set"))
    return dsl.set_(**value) if isinstance(value, dict) else dsl.set_(value)


KINDS = {
    "for": _for, "try": _try, "call": _call, "set": _set, "switch": _switch, "fork": _fork,
    "do": lambda rest: dsl.do(*tasks(rest.pop("do"))),
    "raise": _raise,
    "wait": lambda rest: dsl.wait(values(rest.pop("wait"))),
    "emit": lambda rest: dsl.emit(**values(rest.pop("emit")["event"]["with"])),
    "listen": _listen, "run": _run,
}  # fmt: skip


# -- what a workflow has beside its tasks --------------------------------------


def _use(use: Json) -> dict[str, Any]:
    rest = dict(use)
    made: dict[str, Any] = {}
    if "functions" in rest:
        made["functions"] = {name: task(body) for name, body in rest.pop("functions").items()}
    if "extensions" in rest:
        found = {name: body for item in rest.pop("extensions") for name, body in item.items()}
        made["extensions"] = {name: _extension(body) for name, body in found.items()}
    if "timeouts" in rest:
        made["timeouts"] = {name: each["after"] for name, each in rest.pop("timeouts").items()}
    if "retries" in rest:
        made["retries"] = {name: _retry(each) for name, each in rest.pop("retries").items()}
    if "errors" in rest:
        made["errors"] = {n: dsl.error_of(**values(each)) for n, each in rest.pop("errors").items()}
    if "authentications" in rest:
        made["authentications"] = {
            name: _authentication(each) for name, each in rest.pop("authentications").items()
        }
    return {**made, **values(rest)}


def _authentication(body: Json) -> Any:
    ((scheme, settings),) = values(body).items()
    if "use" in settings:
        return dsl.from_secret(scheme, settings["use"])
    made: Any = getattr(dsl, scheme)
    return made(**settings)


def _extension(body: Json) -> Any:
    around = {name: tasks(body[name]) for name in ("before", "after") if name in body}
    when = program(body["when"]) if "when" in body else None
    return dsl.extension(body["extend"], when=when, **around)


def _schedule(body: Json) -> Any:
    rest = dict(body)
    if "on" in rest:
        return dsl.on_events(_consumption(rest.pop("on")), **rest)
    ((kind, value),) = rest.items()
    made: Any = getattr(dsl, kind)
    return made(value)
