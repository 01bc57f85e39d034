"""Checks are linear in the document: counted calls, not times."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any

import pytest

from orchestrator import document
from orchestrator.document import InvalidDocument, message_text
from orchestrator.document.checks import check_context
from orchestrator.document.diagnostics import MAX_DIAGNOSTICS

Json = Any
HEAD = {"dsl": "1.0.3", "namespace": "shop", "name": "order", "version": "1.0.0"}
MANY = 2000


def tasks(make: Any) -> Json:
    return {"document": HEAD, "do": [{f"task{n}": make(n)} for n in range(MANY)]}


DOCUMENTS: dict[str, Json] = {
    "targets": tasks(lambda n: {"set": {"x": 1}, "then": f"nowhere{n}"}),
    "calls": tasks(lambda n: {"call": f"tusk{n}"}),
    "secrets": tasks(
        lambda n: {
            "call": "http",
            "with": {"method": "get", "endpoint": {
                "uri": "http://a/", "authentication": {"bearer": {"token": f"${{ $secrets.a{n} }}"}}
            }},
        }
    ),
    "errors": {
        **tasks(lambda n: {"raise": {"error": f"erorr{n}"}}),
        "use": {"errors": {f"error{n}": {"type": "a:b", "status": 400} for n in range(MANY)}},
    },
    "functions": {
        **tasks(lambda n: {"call": f"fanction{n}"}),
        "use": {"functions": {f"function{n}": {"call": f"f{n}"} for n in range(MANY)}},
    },
    "workflows": tasks(
        lambda n: {"run": {"workflow": {
            "namespace": "shop", "name": f"ordr{n}", "version": "1.0.0"
        }}}
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(DOCUMENTS))
def test_similar_words_are_searched_for_what_a_report_shows(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[str] = []
    real = message_text.nearest_word

    def nearest_word(word: str, known: Iterable[str]) -> str | None:
        searched.append(word)
        return real(word, known)

    monkeypatch.setattr(check_context, "nearest_word", nearest_word)
    compared: list[int] = []
    get_close_matches = difflib.get_close_matches

    def counted(word: str, known: Any, **options: Any) -> list[str]:
        compared.append(len(known))
        return get_close_matches(word, known, **options)

    monkeypatch.setattr(difflib, "get_close_matches", counted)
    try:
        loaded = document.load(
            json.dumps(DOCUMENTS[kind]),
            "application/json",
            known_tasks=["task"],
            known_workflows=lambda _: ["order"],
        )
    except InvalidDocument as error:
        found = error.problems
    else:
        found = loaded.warnings
    assert len(found) >= MAX_DIAGNOSTICS
    assert 0 < len(searched) <= MAX_DIAGNOSTICS
    assert len(compared) <= len(searched)
    assert max(compared) <= 1000
