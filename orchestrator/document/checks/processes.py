"""Check the processes of `run`: scripts and sub-workflows."""

from __future__ import annotations

import re

from orchestrator.document.checks.check_context import Context
from orchestrator.document.dsl_schema.run_processes import PROCESSES
from orchestrator.document.dsl_schema.schema_builders import NAME, VERSION
from orchestrator.document.message_text import quoted, quoted_list
from orchestrator.document.processes import (
    LITERAL_ARGUMENTS,
    is_constant_address,
    source_address,
)
from orchestrator.document.task_sites import TaskSite
from orchestrator.expressions import is_expression


def check(context: Context) -> None:
    """Check that each process of `run` can start."""
    for site in context.sites:
        if site.kind == "run":
            _check_process(context, site)


#: Valid names and versions of deployed workflows.
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

#: The script languages of the specification (dsl-reference.md, Script Process;
#: one of its examples says `javascript`).
SCRIPTS = ("js", "javascript", "python")


def _check_process(context: Context, site: TaskSite) -> None:
    run = site.body["run"]
    kind = next(key for key in PROCESSES if key in run)
    context.warn_unsupported(f"{site.pointer}/run/{kind}", kind, "processes")
    if kind in LITERAL_ARGUMENTS:
        _check_worker_process(context, site, kind)
    if kind == "script":
        _check_language(context, f"{site.pointer}/run/script/language", run["script"]["language"])
    elif kind == "workflow":
        _check_workflow(context, site)


def _check_worker_process(context: Context, site: TaskSite, kind: str) -> None:
    """Warn of a process that the installation does not allow. Refuse one whose own text is an
    expression: an input could choose what is run."""
    pointer, process = f"{site.pointer}/run/{kind}", site.body["run"][kind]
    allows, own = context.environment.allows_process, context.document["document"]["namespace"]
    if allows is not None and not allows(kind, own):
        message = (
            f"the installation does not allow run.{kind} in the namespace {quoted(own)}"
            f" (ORCHESTRATOR_RUN_{kind.upper()}); this task will fault"
        )
        context.warn(pointer, message)
    address = source_address(process)
    if address is not None and not is_constant_address(address):
        message = "the address of a script must be the document's own text: data must not choose it"
        context.error(f"{pointer}/source/endpoint", message)
    for key in sorted(LITERAL_ARGUMENTS[kind] & process.keys()):
        text = process[key]
        if is_expression(text):
            message = (
                f"{quoted(key)} must be the document's own text; pass data as 'arguments',"
                " 'environment' or 'stdin'"
            )
            context.error(f"{pointer}/{key}", message)
        elif kind == "shell" and _EMBEDDED.search(text):
            message = "'${ }' within a longer text is the shell's; pass data as 'arguments'"
            context.warn(f"{pointer}/{key}", message)


#: An expression within a text, as far as it is no variable of the shell: `${ .name }`.
_EMBEDDED = re.compile(r"\$\{\s*[.$]|\$\{\s+")


def _check_language(context: Context, pointer: str, name: str) -> None:
    if name not in SCRIPTS:
        message = f"scripts are written in {quoted_list(SCRIPTS)}, not in {quoted(name)}"
        context.error(pointer, message + context.meant(name, SCRIPTS))


def _check_workflow(context: Context, site: TaskSite) -> None:
    run = site.body["run"]
    pointer, target = f"{site.pointer}/run/workflow", run["workflow"]
    for key, pattern in _TARGET_PATTERNS.items():
        if not is_expression(target[key]) and pattern.fullmatch(target[key]) is None:
            form = _TARGET_FORMS[key]
            message = f"no workflow can have the {key} {quoted(target[key])}: it is no {form}"
            context.error(f"{pointer}/{key}", message)
    if run.get("return", "none") not in ("none", "all"):
        message = f"a workflow has no {quoted(run['return'])}: use 'none' or 'all'"
        context.warn(f"{site.pointer}/run/return", message)
    _check_namespace(context, f"{pointer}/namespace", target["namespace"])
    _check_deployed(context, f"{pointer}/name", target)


def _check_deployed(context: Context, pointer: str, target: dict[str, str]) -> None:
    """Warn if a sub-workflow of the same namespace is neither deployed nor this document."""
    about = context.document["document"]
    name, list_workflows = target["name"], context.environment.known_workflows
    if list_workflows is None or is_expression(name) or target["namespace"] != about["namespace"]:
        return
    known, own = list_workflows(about["namespace"]), about["name"]
    if name != own and name not in known:
        message = f"no workflow {quoted(name)} is deployed in the namespace"
        meant = context.meant(name, known, [own])
        context.warn(pointer, f"{message} {quoted(about['namespace'])}{meant}")


def _check_namespace(context: Context, pointer: str, namespace: str) -> None:
    """Warn of a sub-workflow in another namespace if the installation does not allow it.

    The message does not say whether that workflow exists: this namespace may not know it.
    """
    own = context.document["document"]["namespace"]
    if context.environment.allows_other_namespaces or is_expression(namespace) or namespace == own:
        return
    message = (
        f"a workflow runs those of its own namespace {quoted(own)} only, not of"
        f" {quoted(namespace)} (ORCHESTRATOR_RUN_ACROSS_NAMESPACES is off); this task will fault"
    )
    context.warn(pointer, message)
