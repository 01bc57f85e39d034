"""Size checks of values that the core makes (DESIGN, I17).

Values from outside (inputs, results, events) were checked when they arrived. Here it is the results
of expressions and joins.
"""

from __future__ import annotations

from orchestrator.core.dsl_errors import Fault, validation
from orchestrator.core.model import Json


def too_large(value: Json, limit: int) -> Fault | None:
    """Return the fault of a value with more than `limit` bytes of JSON; None if it is small enough.

    Nothing is encoded: a walk adds up the least size of the text and ends at the limit, however
    often the value contains the same part.
    """
    if _at_least(value, limit) <= limit:
        return None
    return validation(
        f"a value has more than {limit} bytes of JSON, the limit (ORCHESTRATOR_MAX_PAYLOAD)"
    )


def _at_least(value: Json, limit: int) -> int:
    """Return the bytes of a value's JSON text without escapes. The count ends above `limit`."""
    size, waiting = 0, [value]
    while waiting and size + len(waiting) <= limit:  # each waiting item has at least one byte
        item = waiting.pop()
        kind = type(item)
        if kind is str:
            size += _text_size(item) + 2
        elif kind is dict:
            size += 4 * len(item) + 1 if item else 2
            size += sum(map(_text_size, item))
            waiting.extend(item.values())
        elif kind is list:
            size += len(item) + 1 if item else 2
            waiting.extend(item)
        else:
            size += _scalar_size(item)
    return size + len(waiting)


def _text_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _scalar_size(value: Json) -> int:
    if value is None or value is True:
        return 4
    if value is False:
        return 5
    return (value.bit_length() - 1) * 3 // 10 + 1 if isinstance(value, int) else len(repr(value))
