"""Celery's signatures as shapes: normalised by the installed Celery itself.

`_chain.prepare_steps` of the installed version unrolls chains and groups and turns a group that is
followed by a task into a chord. So a canvas means here what it means to that version. Options reach
the tasks as in `apply_async` of each class: those of a group apply to all members, those of a chain
to its first task, those of a chord to header and body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from celery.canvas import Signature, _chain, chord, chunks, group
from kombu.utils.functional import maybe_list

from orchestrator.canvas import options as call_options
from orchestrator.canvas.compensations import compensation_of
from orchestrator.canvas.errbacks import errback_of
from orchestrator.canvas.errors import CanvasRefused
from orchestrator.canvas.shapes import PREVIOUS, Call, Guarded, Linked, Parallel, Row, Shape

if TYPE_CHECKING:
    from celery import Celery

Options = Mapping[str, Any]
_NONE: Options = {}

#: Since Celery 5.7 a delay of a chord delays its header; before, it is not used.
_CHORD_DELAYS_HEADER = hasattr(chord, "_body_options")
_DELAYS = ("countdown", "eta")
_CALLBACKS = ("link", "link_error")


def read(
    signature: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
) -> Shape:
    """Return what ``signature.apply_async(args, kwargs)`` would run.

    Raises `CanvasRefused` for what has no durable form.
    """
    if not isinstance(signature, Signature):
        raise CanvasRefused(f"a signature is expected, not {type(signature).__name__}")
    return _row(_read(_copy(signature), tuple(args), dict(kwargs or {}), _NONE))


def read_row(signatures: Iterable[Any]) -> Shape:
    """Return the plain row of these signatures: each with its own arguments only."""
    return _row([shape for signature in signatures for shape in _flat(read(signature))])


def _flat(shape: Shape) -> tuple[Shape, ...]:
    return shape.shapes if isinstance(shape, Row) else (shape,)


def _row(shapes: Sequence[Shape]) -> Shape:
    return shapes[0] if len(shapes) == 1 else Row(tuple(shapes))


def _copy(signature: Signature[Any]) -> Signature[Any]:
    """Return a copy whose signatures `prepare_steps` may change; values are shared."""
    copied: Signature[Any] = signature.clone()
    copied["options"] = {
        name: [_copied(item, copied) for item in maybe_list(value) or []]
        if name in _CALLBACKS
        else value
        for name, value in copied.options.items()
    }
    if isinstance(copied, _chain | group):
        copied["kwargs"] = {**copied.kwargs, "tasks": [_copied(t, copied) for t in copied.tasks]}
    elif isinstance(copied, chord):
        header = copied.tasks
        tasks = header.tasks if isinstance(header, group) else header
        members = [_copied(task, copied) for task in tasks]
        if isinstance(header, group):
            whole = _copied(header, copied)
            whole["kwargs"] = {**whole.kwargs, "tasks": members}
        body = copied.kwargs.get("body")
        copied["kwargs"] = {
            **copied.kwargs,
            "header": whole if isinstance(header, group) else members,
            "body": None if body is None else _copied(body, copied),
        }
    return copied


def _copied(item: Any, parent: Signature[Any]) -> Signature[Any]:
    if not isinstance(item, Signature):
        item = Signature.from_dict(item, app=getattr(parent, "_app", None))
    return _copy(item)


# -- readers, one for each class of signature --------------------------------


def _read(
    signature: Signature[Any], args: tuple[Any, ...], kwargs: dict[str, Any], inherited: Options
) -> list[Shape]:
    """Return the shapes of ``signature.apply_async(args, kwargs, **inherited)``."""
    named = _BY_TASK.get(str(signature.task))
    if named is not None:
        return named(signature, args, kwargs, inherited)
    for kind, reader in _READERS:
        if isinstance(signature, kind):
            _refuse_compensation(signature)
            return reader(signature, args, kwargs, inherited)
    return _linked(_call(signature, args, kwargs, inherited), signature, inherited)


def _refuse_compensation(signature: Signature[Any]) -> None:
    if signature.options.get("compensate") is not None:
        raise CanvasRefused("`compensate` belongs to single tasks, not to a chain, group or chord")


def _merged(signature: Signature[Any], inherited: Options) -> dict[str, Any]:
    return {**signature.options, **inherited}


def _read_chain(
    chain: Any, args: tuple[Any, ...], kwargs: dict[str, Any], inherited: Options
) -> list[Shape]:
    options = _merged(chain, inherited)
    links, errbacks = options.pop("link", None), options.pop("link_error", None)
    partial = args + tuple(chain.args) if args and not chain.immutable else tuple(chain.args)
    if not chain.tasks:
        raise CanvasRefused("an empty chain runs nothing")
    app = _app_of(chain)
    with _chords_allowed(app):
        steps, _ = chain.prepare_steps(
            partial, kwargs or {}, chain.tasks, link_error=errbacks, app=app
        )
    if links:
        steps[0].extend_list_option("link", links)
    steps.reverse()
    first = call_options.passed_on(options)
    shapes: list[Shape] = []
    for index in range(len(steps) - 1, -1, -1):
        step = steps[index] if index == len(steps) - 1 else _followed(steps[index])
        before = () if index == 0 else (PREVIOUS,)
        shapes = _before(_read(step, before, {}, first if index == 0 else _NONE), shapes)
    return shapes


def _followed(step: Any) -> Any:
    """Return a step that another one follows. If it is a chord whose body is a group of one, the
    member's own result goes on, as that of any group of one in a chain."""
    if isinstance(step, chord) and isinstance(step.body, group):
        members = list(_unrolled(step.body.tasks))
        if len(members) == 1:
            step["kwargs"] = {**step.kwargs, "body": members[0]}
    return step


def _before(shapes: list[Shape], rest: list[Shape]) -> list[Shape]:
    """Return a row: `shapes`, then `rest`. Callbacks of the last one run beside the rest."""
    if not rest:
        return shapes
    last = shapes[-1] if shapes else None
    if isinstance(last, Linked) and last.rest is None:
        return [*shapes[:-1], Linked(_row(rest), last.links)]
    return [*shapes, *rest]


def _read_group(
    members: Any, args: tuple[Any, ...], kwargs: dict[str, Any], inherited: Options
) -> list[Shape]:
    options = _merged(members, inherited)
    for name in _CALLBACKS:
        if options.get(name):
            raise CanvasRefused(
                f"{name} of a group has no meaning to Celery: give it to its members"
            )
    return [_parallel(members, args, kwargs, call_options.passed_on(options))]


def _parallel(
    members: Any, args: tuple[Any, ...], kwargs: dict[str, Any], options: Options
) -> Parallel:
    return Parallel(
        tuple(_row(_read(member, args, kwargs, options)) for member in _unrolled(members.tasks))
    )


def _unrolled(tasks: Iterable[Any]) -> Iterable[Signature[Any]]:
    """Yield the members; groups directly inside a group are flattened."""
    for task in tasks:
        if isinstance(task, group):
            yield from _unrolled(task.tasks)
        elif not (isinstance(task, _chain) and not task.tasks):
            yield task


def _read_chord(
    whole: Any, args: tuple[Any, ...], kwargs: dict[str, Any], inherited: Options
) -> list[Shape]:
    options = _merged(whole, inherited)
    partial = args + tuple(whole.args) if args and not whole.immutable else tuple(whole.args)
    header: Any = whole.tasks
    if not isinstance(header, group):
        header = group(header, app=_app_of(whole))
    body = _with_callbacks(whole.body, options)
    passed = call_options.passed_on(options)
    delays = {name: passed.pop(name) for name in _DELAYS if name in passed}
    to_header = {**call_options.passed_on(header.options), **passed}
    if _CHORD_DELAYS_HEADER:
        to_header.update(delays)
    if not list(header.tasks):
        return _read(body, ([],), {}, passed)
    call_kwargs = {**whole.kwargs.get("kwargs", {}), **kwargs}
    parallel: Shape = _parallel(header, partial, call_kwargs, to_header)
    errbacks = _errbacks(_header_errbacks(body), _app_of(whole))
    if errbacks:
        parallel = Guarded(parallel, errbacks)
    return [parallel, *_read(body, (PREVIOUS,), {}, passed)]


def _with_callbacks(body: Any, options: dict[str, Any]) -> Any:
    """Return the body with the chord's own callbacks, which are the body's."""
    for callback in maybe_list(options.pop("link", None)) or []:
        body.link(callback)
    for errback in maybe_list(options.pop("link_error", None)) or []:
        body.link_error(errback)
    return body


def _header_errbacks(body: Any) -> list[Any]:
    """Return the error callbacks that also answer a failure of the header: those of the body."""
    found = list(maybe_list(body.options.get("link_error")) or [])
    for task in body.tasks if isinstance(body, group) else ():
        found += maybe_list(task.options.get("link_error")) or []
    unique: list[Any] = []
    for item in found:
        if item not in unique:
            unique.append(item)
    return unique


def _read_chunks(
    signature: Any, args: tuple[Any, ...], kwargs: dict[str, Any], inherited: Options
) -> list[Shape]:
    split: Any = chunks.from_dict(signature)
    return _read_group(split.group(), args, kwargs, call_options.passed_on(inherited))


def _read_map(signature: Any, _: Any, __: Any, inherited: Options) -> list[Shape]:
    inner = signature.kwargs["task"]
    name = inner["task"] if isinstance(inner, dict) else getattr(inner, "name", inner)
    call = call_options.apply(Call(str(signature.task)), _merged(signature, inherited))
    call = replace(call, kwargs={"it": list(signature.kwargs["it"])}, literals={"task": name})
    return _linked(call, signature, inherited)


def _read_accumulate(signature: Any, args: tuple[Any, ...], _: Any, __: Options) -> list[Shape]:
    """Read what `Task.replace` adds after a group: it returns its first argument, the list."""
    if signature.kwargs.get("index") != 0 or signature.args or len(args) != 1:
        raise CanvasRefused("celery.accumulate has no durable form")
    before: list[Shape] = [] if args[0] is PREVIOUS else [Parallel(())]
    links = [_link(item, signature) for item in maybe_list(signature.options.get("link")) or []]
    return [*before, Linked(None, tuple(links))] if links else before


_Reader = Callable[[Any, tuple[Any, ...], dict[str, Any], Options], list[Shape]]
_READERS: tuple[tuple[type[Any], _Reader], ...] = (
    (_chain, _read_chain),
    (chord, _read_chord),
    (group, _read_group),
)
#: A copy of these signatures is one of a plain task.
_BY_TASK: Mapping[str, _Reader] = {
    "celery.accumulate": _read_accumulate,
    "celery.chunks": _read_chunks,
    "celery.map": _read_map,
    "celery.starmap": _read_map,
}


# -- the reader of a single task ---------------------------------------------


def _call(
    signature: Signature[Any], args: tuple[Any, ...], kwargs: dict[str, Any], inherited: Options
) -> Call:
    own = signature.immutable
    call = Call(
        str(signature.task),
        tuple(signature.args) if own else (*args, *signature.args),
        dict(signature.kwargs) if own else {**signature.kwargs, **kwargs},
    )
    defaults = call_options.of_task(signature)
    call = call_options.apply(call, {**defaults, **_merged(signature, inherited)})
    return replace(call, compensation=compensation_of(signature))


def _linked(call: Call, signature: Signature[Any], inherited: Options) -> list[Shape]:
    options = _merged(signature, inherited)
    errbacks = _errbacks(maybe_list(options.get("link_error")) or [], _app_of(signature))
    shape: Shape = Guarded(call, errbacks) if errbacks else call
    links = [_link(item, signature) for item in maybe_list(options.get("link")) or []]
    return [shape, Linked(None, tuple(links))] if links else [shape]


def _link(item: Any, signature: Signature[Any]) -> Shape:
    return _row(_read(_copied(item, signature), (PREVIOUS,), {}, _NONE))


def _errbacks(signatures: Iterable[Any], app: Celery) -> tuple[Call, ...]:
    return tuple(errback_of(signature, app) for signature in signatures)


def _app_of(signature: Any) -> Celery:
    app: Celery = signature.app
    return app


@contextmanager
def _chords_allowed(app: Celery) -> Iterator[None]:
    """Let this thread prepare chords without a result backend: Celery's need one, workflows do
    not."""
    members = vars(app.backend)
    before = members.get("ensure_chords_allowed")
    members["ensure_chords_allowed"] = lambda: None
    try:
        yield
    finally:
        del members["ensure_chords_allowed"]
        if before is not None:
            members["ensure_chords_allowed"] = before
