"""JSON in and out: exact for what Python can hold, fast for what is usual.

`encode`, `dumps` and `loads` are for values that are JSON already: integers of any size pass
exactly; NaN, infinite numbers and half surrogate pairs are refused. `loads_strict` reads the
bodies of requests. `to_json` turns what a task returned into JSON (DESIGN, Values).
"""

from orchestrator.json_codec.reader import ForbiddenText, loads, loads_strict
from orchestrator.json_codec.writer import (
    MAX_DEPTH,
    Json,
    NotJson,
    dumps,
    encode,
    to_json,
)

__all__ = [
    "MAX_DEPTH",
    "ForbiddenText",
    "Json",
    "NotJson",
    "dumps",
    "encode",
    "loads",
    "loads_strict",
    "to_json",
]
