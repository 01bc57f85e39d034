"""What calls and processes lead to: functions, catalogs, Celery tasks, workflows.

`call` is resolved in this order: a built-in kind, `use.functions`, a catalog's function, a
Celery task's name.
"""

from __future__ import annotations

import re

from orchestrator.document.allowed_tasks import is_reserved, refusal_reason
from orchestrator.document.checks.check_context import Context
from orchestrator.document.checks.references import report_undefined
from orchestrator.document.dsl_schema.run_processes import PROCESSES
from orchestrator.document.dsl_schema.schema_builders import NAME, VERSION
from orchestrator.document.message_text import listed, nearest, quoted, suggestion
from orchestrator.document.schema_validation import validate_extension
from orchestrator.document.task_sites import TaskSite
from orchestrator.expressions import is_expression

LANGUAGE_KINDS = frozenset({"asyncapi", "grpc", "http", "openapi", "a2a", "mcp"})

#: A catalog's function: `log:0.5.2@global` (dsl.md, Using Cataloged Functions).
_CATALOG_FUNCTION = re.compile(r"[^:@]+:[^@]+@(?P<catalog>[^@]+)")

#: The catalog that needs no definition (dsl.md, Default Catalog).
_DEFAULT_CATALOG = "default"

#: What deployed workflows are called.
_TARGET_PATTERNS = {
    "namespace": re.compile(NAME),
    "name": re.compile(NAME),
    "version": re.compile(f"latest|{VERSION}"),
}

_TARGET_FORMS = {
    "namespace": "name of 1 to 63 letters, digits and hyphens",
    "name": "name of 1 to 63 letters, digits and hyphens",
    "version": "semantic version like '1.0.0', nor 'latest'",
}

#: The languages of scripts that the specification knows (dsl-reference.md, Script Process;
#: one of its examples says `javascript`).
SCRIPTS = ("js", "javascript", "python")


def check(context: Context) -> None:
    """Calls and processes can be resolved."""
    for site in context.sites:
        if site.kind == "call":
            _check_call(context, site)
        elif site.kind == "run":
            _check_process(context, site)


def kind_of_call(name: str, functions: dict[str, object]) -> str:
    """The kind of a call: one of the language's, `celery`, `function` or `catalog`."""
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
    _warn_unsupported(context, pointer, kind, "calls")


def _warn_unsupported(context: Context, pointer: str, kind: str, what: str) -> None:
    if kind not in context.environment.built_kinds:
        message = f"{what} of the kind {quoted(kind)} are not built yet; this task will fault"
        context.warn(pointer, message)


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
        complaints = validate_extension(site.body["with"], "celery")
        for each in complaints:
            context.error(pointer + each.pointer, each.message, at_key=each.at_key)
        if complaints:
            return
        name, pointer = site.body["with"]["task"], f"{pointer}/task"
        if is_expression(name):
            return
    if is_reserved(name):
        _refuse_reserved(context, site, name, pointer)
        return
    known = context.environment.known_tasks
    if not name.strip():
        context.error(pointer, "a call needs a name")
    elif known is not None and name not in known:
        meant = suggestion(nearest(name, (*known, *context.used("functions"), *LANGUAGE_KINDS)))
        context.warn(pointer, f"no worker has announced a task {quoted(name)}{meant}")


def _refuse_reserved(context: Context, site: TaskSite, name: str, pointer: str) -> None:
    """A task of Celery's or ours: refused, but for a map over a task that the document names."""
    given = site.body.get("with") or {}
    explicit = site.body["call"] == "celery"
    args, kwargs = (given.get("args"), given.get("kwargs")) if explicit else (None, given)
    refused = refusal_reason(name, args, kwargs)
    if refused is not None:
        context.error(pointer, refused)


def _check_process(context: Context, site: TaskSite) -> None:
    run = site.body["run"]
    kind = next(key for key in PROCESSES if key in run)
    _warn_unsupported(context, f"{site.pointer}/run/{kind}", kind, "processes")
    if kind == "script" and run["script"]["language"] not in SCRIPTS:
        name = run["script"]["language"]
        message = f"scripts are written in {listed(SCRIPTS)}, not in {quoted(name)}"
        context.error(
            f"{site.pointer}/run/script/language", message + suggestion(nearest(name, SCRIPTS))
        )
    if kind != "workflow":
        return
    pointer, target = f"{site.pointer}/run/workflow", run["workflow"]
    for key, pattern in _TARGET_PATTERNS.items():
        if not is_expression(target[key]) and pattern.fullmatch(target[key]) is None:
            form = _TARGET_FORMS[key]
            message = f"no workflow can have the {key} {quoted(target[key])}: it is no {form}"
            context.error(f"{pointer}/{key}", message)
    if run.get("return", "none") not in ("none", "all"):
        message = f"a workflow has no {quoted(run['return'])}: 'none' alone means something here"
        context.warn(f"{site.pointer}/run/return", message)
    _check_namespace(context, f"{pointer}/namespace", target["namespace"])
    _check_deployed(context, f"{pointer}/name", target)


def _check_deployed(context: Context, pointer: str, target: dict[str, str]) -> None:
    """A sub-workflow of the own namespace is there, or is this document itself."""
    about = context.document["document"]
    name, ask = target["name"], context.environment.known_workflows
    if ask is None or is_expression(name) or target["namespace"] != about["namespace"]:
        return
    known = {about["name"], *ask(about["namespace"])}
    if name not in known:
        message = f"no workflow {quoted(name)} is deployed in the namespace"
        context.warn(
            pointer, f"{message} {quoted(about['namespace'])}{suggestion(nearest(name, known))}"
        )


def _check_namespace(context: Context, pointer: str, namespace: str) -> None:
    """A sub-workflow of another namespace is refused where an installation keeps them apart.

    Whether that one exists is not said: it is nobody's business here.
    """
    own = context.document["document"]["namespace"]
    if context.environment.allows_other_namespaces or is_expression(namespace) or namespace == own:
        return
    message = (
        f"a workflow runs those of its own namespace {quoted(own)} only, not of"
        f" {quoted(namespace)} (ORCHESTRATOR_RUN_ACROSS_NAMESPACES is off); this task will fault"
    )
    context.warn(pointer, message)
