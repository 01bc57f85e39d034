"""Check expressions: jq compiles them, they use only what is allowed, secrets do not become
data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing

from orchestrator.document.checks.check_context import CheckExpression, Context
from orchestrator.document.diagnostics import MAX_DIAGNOSTICS
from orchestrator.document.expression_fields import ARGUMENTS, fields
from orchestrator.document.field_scope import Field, Purpose
from orchestrator.document.message_text import quoted
from orchestrator.expressions import Evaluator, ExpressionError, program_of
from orchestrator.expressions.fast_path import compiled
from orchestrator.expressions.lexer import Token, TokenKind
from orchestrator.expressions.program_rules import Program, read

SECRETS = ("secrets", "secret")

#: Compiling one program costs as much as compiling a hundred together, because jq reads its own
#: library each time. These bounds keep a bundle within the bounds of a single program.
_MAX_BUNDLE = 100
_MAX_BUNDLE_CHARACTERS = 8 * 1024

_UNUSABLE = "the expression cannot be used: "

_Job = tuple[str, frozenset[str]]


def check(context: Context) -> None:
    """Check that every expression can be evaluated at its position."""
    jobs: dict[_Job, list[Field]] = {}
    programs: dict[str, Program | str] = {}
    for field in fields(context.document, context.sites):
        if context.is_loose and field.lenient:
            continue
        if not field.is_program:
            _check_partial(context, field)
            continue
        text = program_of(field.text)
        program = programs[text] = programs.get(text) or _program_or_reason(text)
        if isinstance(program, str):
            context.error(field.pointer, _UNUSABLE + program)
            continue
        _check_secrets(context, field, program)
        names = program.variables if field.variables is None else field.variables
        jobs.setdefault((text, names | ARGUMENTS), []).append(field)
    _compile(context, jobs)


def _check_partial(context: Context, field: Field) -> None:
    """Report a text that contains `${` without being an expression as a whole. The interpreter
    would use it literally, but its author probably meant an expression."""
    text = field.text.strip()
    if text.startswith("${") and not _closes(text):
        message = "the expression is not closed: '}' is missing at its end"
        context.error(field.pointer, message)
    elif _closes(text[text.index("${") :]) and not _is_shell(field.pointer):
        context.warn(
            field.pointer,
            "an expression with text around it is not evaluated, the text is used literally;"
            " write it as one: '${ \"text \\(.path) text\" }'",
        )


def _closes(text: str) -> bool:
    """Whether the bracket that `${` opens at the beginning of the text is closed."""
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if character == "}" and not depth:
            return True
    return False


def _is_shell(pointer: str) -> bool:
    """Whether `${HOME}` has a meaning of its own in the text at this pointer."""
    return any(f"/run/{kind}/" in pointer for kind in ("container", "script", "shell"))


def _program_or_reason(text: str) -> Program | str:
    try:
        return read(text)
    except ExpressionError as error:
        return str(error)


def _compile(context: Context, jobs: dict[_Job, list[Field]]) -> None:
    """Compile all programs; stop when there are more errors than one report contains."""
    supplied = context.environment.check_expression
    with ExitStack() as stack:
        # Use the caller's evaluator if there is one. Otherwise create one for this document; its
        # process starts only when it is needed.
        compile_program = supplied or stack.enter_context(closing(Evaluator())).check
        for job, message in _refusals(jobs, compile_program):
            for field in jobs[job]:
                context.error(field.pointer, _UNUSABLE + message)
            if len(context.errors) > MAX_DIAGNOSTICS:
                return


def _refusals(jobs: Iterable[_Job], compile_program: CheckExpression) -> Iterator[tuple[_Job, str]]:
    together: dict[frozenset[str], list[str]] = {}
    for text, names in jobs:
        if compiled(read(text)) is not None:
            yield from _compile_bundle([text], names, compile_program)
        else:
            together.setdefault(names, []).append(text)
    for names, texts in together.items():
        for bundle in _bundles(texts):
            yield from _compile_bundle(bundle, names, compile_program)


def _compile_bundle(
    texts: list[str], names: frozenset[str], compile_program: CheckExpression
) -> Iterator[tuple[_Job, str]]:
    """Compile programs together. If that fails, compile each alone to find the invalid ones."""
    try:
        # Put each program on lines of its own: otherwise a comment at the end of one program would
        # hide the next program.
        compile_program(
            texts[0] if len(texts) == 1 else ",".join(f"(\n{text}\n)" for text in texts), names
        )
    except ExpressionError as error:
        if len(texts) == 1:
            yield (texts[0], names), str(error)
            return
        for text in texts:
            yield from _compile_bundle([text], names, compile_program)


def _bundles(texts: list[str]) -> Iterator[list[str]]:
    bundle: list[str] = []
    size = 0
    for text in texts:
        if bundle and (len(bundle) >= _MAX_BUNDLE or size + len(text) > _MAX_BUNDLE_CHARACTERS):
            yield bundle
            bundle, size = [], 0
        bundle.append(text)
        size += len(text)
    if bundle:
        yield bundle


def _check_secrets(context: Context, field: Field, program: Program) -> None:
    """Check that secrets are declared and reach only the worker that needs them."""
    if not program.variables.intersection(SECRETS):
        return
    declared = context.used("secrets")
    for name in _secret_names(program.tokens):
        if name not in declared:
            meant = context.meant(name, declared)
            message = f"no secret {quoted(name)} in 'use.secrets'{meant}"
            context.error(field.pointer, message)
    if _becomes_data(context, field) and not _allowed(context, field):
        message = (
            "a secret would become data here; secrets belong in the arguments of a call"
            " (or allow it by 'secretsInData: true' under 'metadata')"
        )
        context.error(field.pointer, message)


def _secret_names(tokens: tuple[Token, ...]) -> Iterator[str]:
    """Yield `x` of `$secrets.x`, `$secrets."x"`, `$secrets["x"]` and `$secrets.["x"]`."""
    for index, token in enumerate(tokens):
        if token.kind is TokenKind.VARIABLE and token.text in SECRETS:
            after = tokens[index + 1 : index + 4]
            signs = [
                each for each in after if each.kind is TokenKind.SIGN and each.text in (".", "[")
            ]
            rest = after[len(signs) :] if after[: len(signs)] == tuple(signs) else ()
            if rest and (
                rest[0].kind is TokenKind.STRING if signs else rest[0].kind is TokenKind.FIELD
            ):
                yield rest[0].text


def _becomes_data(context: Context, field: Field) -> bool:
    if field.purpose is not Purpose.CALL or field.site is None:
        return field.purpose is not Purpose.CALL
    # Of all arguments of calls, only those of a call to a function (`use.functions`) become data:
    # they are the input of the function's task.
    return field.site.kind == "call" and field.site.body["call"] in context.used("functions")


def _allowed(context: Context, field: Field) -> bool:
    places = [context.metadata] if field.site is None else [context.metadata, field.site.metadata]
    return any(place.get("secretsInData") is True for place in places)
