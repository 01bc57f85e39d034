"""Check that calls can be resolved: functions, catalogs, Celery tasks.

`call` is resolved in this order: a built-in kind, `use.functions`, a catalog's function, the name
of a Celery task.
"""

from __future__ import annotations

import re

from orchestrator.document.allowed_tasks import is_reserved, refusal_reason
from orchestrator.document.checks.check_context import Context
from orchestrator.document.checks.references import report_undefined
from orchestrator.document.message_text import quoted
from orchestrator.document.schema_validation import validate_extension
from orchestrator.document.task_sites import TaskSite
from orchestrator.expressions import is_expression

LANGUAGE_KINDS = frozenset({"asyncapi", "grpc", "http", "openapi", "a2a", "mcp"})

#: A function of a catalog: `log:0.5.2@global` (dsl.md, Using Cataloged Functions).
_CATALOG_FUNCTION = re.compile(r"[^:@]+:[^@]+@(?P<catalog>[^@]+)")

#: The catalog that needs no definition (dsl.md, Default Catalog).
_DEFAULT_CATALOG = "default"


def check(context: Context) -> None:
    """Check that each call can be resolved."""
    for site in context.sites:
        if site.kind == "call":
            _check_call(context, site)


def kind_of_call(name: str, functions: dict[str, object]) -> str:
    """Return the kind of a call: one of the DSL's, `celery`, `function` or `catalog`."""
    if name in LANGUAGE_KINDS or name == "celery":
        return name
    if name in functions:
        return "function"
    return "catalog" if "@" in name or "://" in name else "celery"


def _check_call(context: Context, site: TaskSite) -> None:
    name, pointer = site.body["call"], f"{site.pointer}/call"
    kind = kind_of_call(name, context.used("functions"))
    if kind == "catalog":
        _check_catalog(context, pointer, name)
    if kind == "function":
        return
    if kind == "celery":
        _check_celery(context, site, name, pointer)
    context.warn_unsupported(pointer, kind, "calls")


def _check_catalog(context: Context, pointer: str, name: str) -> None:
    match = _CATALOG_FUNCTION.fullmatch(name)
    if match is None or "://" in name:
        return
    catalog = match["catalog"]
    if catalog != _DEFAULT_CATALOG and catalog not in context.used("catalogs"):
        report_undefined(context, pointer, "catalogs", catalog)


def _check_celery(context: Context, site: TaskSite, name: str, pointer: str) -> None:
    if name == "celery":
        if "with" not in site.body:
            context.error(site.pointer, "missing key 'with'", at_key=True)
            return
        pointer = f"{site.pointer}/with"
        messages = validate_extension(site.body["with"], "celery")
        for each in messages:
            context.error(pointer + each.pointer, each.message, at_key=each.at_key)
        if messages:
            return
        name, pointer = site.body["with"]["task"], f"{pointer}/task"
        if is_expression(name):
            return
    if site.body["call"] != "celery":
        _warn_positional(context, site)
    if is_reserved(name):
        _refuse_reserved(context, site, name, pointer)
        return
    known = context.environment.known_tasks
    if not name.strip():
        context.error(pointer, "a call needs a name")
    elif known is not None and name not in known:
        meant = context.meant(name, known, context.used("functions"), LANGUAGE_KINDS)
        context.warn(pointer, f"no worker has announced a task {quoted(name)}{meant}")
    else:
        _warn_queue(context, site, name, pointer)


def _warn_queue(context: Context, site: TaskSite, name: str, pointer: str) -> None:
    """Warn of a queue in which the task's steps would wait. An expression has no queue yet."""
    arguments = site.body.get("with") if site.body["call"] == "celery" else None
    queue = (site.body.get("metadata") or {}).get("queue")
    queue = (arguments or {}).get("queue", queue)
    problem = context.environment.queue_problem
    if problem is None or (isinstance(queue, str) and is_expression(queue)):
        return
    message = problem(name, queue)
    if message is not None:
        context.warn(pointer, message)


def _warn_positional(context: Context, site: TaskSite) -> None:
    """Warn of arguments that are meant for `call: celery`: the task gets them as keywords."""
    arguments = site.body.get("with")
    if not isinstance(arguments, dict):
        return
    for key, kind in (("args", list), ("kwargs", dict)):
        if isinstance(arguments.get(key), kind):
            context.warn(
                f"{site.pointer}/with/{key}",
                f"the task gets a keyword argument '{key}'; 'call: celery' takes 'task', 'args' and"
                " 'kwargs'",
                at_key=True,
            )


def _refuse_reserved(context: Context, site: TaskSite, name: str, pointer: str) -> None:
    """Refuse the tasks of Celery and of this product, except a map over a task that the document
    names."""
    arguments = site.body.get("with") or {}
    explicit = site.body["call"] == "celery"
    args, kwargs = (
        (arguments.get("args"), arguments.get("kwargs")) if explicit else (None, arguments)
    )
    refused = refusal_reason(name, args, kwargs)
    if refused is not None:
        context.error(pointer, refused)
