"""Writes console/openapi.json, from which the console's types are made:
``python -m tests.support.console_api``.

It is the API's description without what types don't need: problems, examples, descriptions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.api import Api

FILE = Path(__file__).parents[2] / "console" / "openapi.json"


def text() -> str:
    """The file's content."""
    api = Api.on("postgresql://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1/0")
    try:
        return json.dumps(_trimmed(api.description.spec), indent=1, sort_keys=True) + "\n"
    finally:
        api.close()


def _trimmed(spec: dict[str, Any]) -> dict[str, Any]:
    trimmed: dict[str, Any] = json.loads(json.dumps(spec))
    for operations in trimmed["paths"].values():
        for operation in operations.values():
            if isinstance(operation, dict) and "responses" in operation:
                operation["responses"] = {
                    status: answer
                    for status, answer in operation["responses"].items()
                    if status.startswith(("2", "3"))
                }
    kept: dict[str, Any] = _without_texts(trimmed)
    return kept


def _without_texts(value: Any, *, names: bool = False) -> Any:
    """Without descriptions. `names`: the keys are names of ours, not words of OpenAPI."""
    if isinstance(value, list):
        return [_without_texts(each) for each in value]
    if not isinstance(value, dict):
        return value
    dropped = set() if names else {"description", "summary", "example", "examples", "tags"}
    return {
        key: _without_texts(each, names=key in {"properties", "schemas"} and not names)
        for key, each in value.items()
        if key not in dropped
    }


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
