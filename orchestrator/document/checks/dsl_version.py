"""The language of the document: its version, its expression language, its keys."""

from __future__ import annotations

from typing import Any

from orchestrator.document.checks.check_context import Context
from orchestrator.document.message_text import nearest_word, quoted, quoted_list, suggestion
from orchestrator.document.model import escape
from orchestrator.expressions import is_expression

Json = Any

#: The newest supported version of the language, and its first release.
NEWEST = (1, 0, 3)
FIRST = "1.0.0-alpha1"

_ROOT_KEYS = ("document", "input", "use", "do", "timeout", "output", "schedule", "evaluate")


def check(context: Context) -> None:
    """Check that the document is written in a supported version of the language."""
    _check_version(context, context.document["document"]["dsl"])
    if "evaluate" in context.document:
        _check_evaluate(context, context.document["evaluate"])
    _warn_unknown_keys(context, context.document, "", _ROOT_KEYS)
    for site in context.sites:
        if site.kind == "try" and "errors" in site.body["catch"]:
            _warn_unknown_keys(
                context, site.body["catch"]["errors"], f"{site.pointer}/catch/errors", ("with",)
            )
        elif site.kind == "emit":
            _check_emitted_event(context, site.body["emit"]["event"], f"{site.pointer}/emit/event")
        elif site.kind == "set":
            _check_set(context, site.body["set"], f"{site.pointer}/set")


def _check_emitted_event(context: Context, event: dict[str, Json], pointer: str) -> None:
    """Check that an event has attributes, which include its type."""
    _warn_unknown_keys(context, event, pointer, ("with",))
    if "with" not in event:
        message = "missing key 'with': the attributes of the event, 'type' at least"
        context.error(pointer, message, at_key=True)
        return
    for name in ("id", "source", "type"):
        if event["with"].get(name) == "":
            context.error(f"{pointer}/with/{name}", "must not be empty")


def _check_set(context: Context, value: Json, pointer: str) -> None:
    """Refuse a blank text. The schema accepts any text; one that is not an expression replaces all
    data."""
    if not isinstance(value, str) or is_expression(value):
        return
    if not value.strip():
        context.error(pointer, "should be a mapping or an expression '${ ... }', not an empty text")
    elif not context.is_loose and "${" not in value:
        message = (
            f"the data becomes the text {quoted(value)}; an expression is written '${{ ... }}'"
        )
        context.warn(pointer, message)


def _check_version(context: Context, version: str) -> None:
    core, _, pre = version.partition("+")[0].partition("-")
    numbers = tuple(int(number) for number in core.split("."))
    # Refuse the drafts of the DSL from before its first release: they are not supported.
    early = numbers < (1, 0, 0) or (numbers == (1, 0, 0) and pre and pre < FIRST[6:])
    if early or numbers[0] > 1:
        message = f"the DSL's version {quoted(version)} is not known; from {FIRST} to 1.x are"
        context.error("/document/dsl", message)
    elif numbers > NEWEST:
        newest = ".".join(str(number) for number in NEWEST)
        context.warn("/document/dsl", f"the newest version of the DSL known here is {newest}")


def _check_evaluate(context: Context, evaluate: Json) -> None:
    """Check `evaluate`: the January revision of the schema accepts any value here."""
    if not isinstance(evaluate, dict):
        context.error("/evaluate", "should be a mapping")
        return
    if evaluate.get("language", "jq") != "jq":
        context.error("/evaluate/language", "the only language of expressions known here is 'jq'")
    if evaluate.get("mode", "strict") not in ("strict", "loose"):
        context.error("/evaluate/mode", "should be 'strict' or 'loose'")


def _warn_unknown_keys(context: Context, value: Json, pointer: str, known: tuple[str, ...]) -> None:
    """Warn of keys that the official schema accepts but that have no meaning."""
    for key in value:
        if key not in known:
            meant = (
                suggestion(nearest_word(key, known))
                or f"; {quoted_list(known, 'and')} are read here"
            )
            place = f"{pointer}/{escape(key)}"
            context.warn(place, f"the key {quoted(key)} has no meaning here{meant}", at_key=True)
