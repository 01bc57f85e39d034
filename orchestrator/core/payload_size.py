"""How large values may be that the core makes (DESIGN, I17).

What comes from outside (inputs, results, events) was measured where it came in; here it is what
expressions and joins make of that.
"""

from __future__ import annotations

from orchestrator.core.dsl_errors import Fault, validation
from orchestrator.core.model import Json


def too_large(value: Json, limit: int) -> Fault | None:
    """The fault of a value with more than `limit` bytes of JSON, as of a task's output.

    Nothing is encoded for it: a walk reckons what the text has at least, and ends at the limit,
    however often the value holds the same part.
    """
    if _at_least(value, limit) <= limit:
        return None
    return validation(
        f"a value has more than {limit} bytes of JSON, the limit (ORCHESTRATOR_MAX_PAYLOAD)"
    )


def _at_least(value: Json, limit: int) -> int:
    """The bytes of a value's JSON text, but for escapes; more than `limit` ends the count."""
    size, waiting = 0, [value]
    while waiting and size + len(waiting) <= limit:  # each that waits has one byte or more
        item = waiting.pop()
        kind = type(item)
        if kind is str:
            size += _text(item) + 2
        elif kind is dict:
            size += 4 * len(item) + 1 if item else 2
            size += sum(map(_text, item))
            waiting.extend(item.values())
        elif kind is list:
            size += len(item) + 1 if item else 2
            waiting.extend(item)
        else:
            size += _scalar(item)
    return size + len(waiting)


def _text(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _scalar(value: Json) -> int:
    if value is None or value is True:
        return 4
    if value is False:
        return 5
    return (value.bit_length() - 1) * 3 // 10 + 1 if isinstance(value, int) else len(repr(value))
