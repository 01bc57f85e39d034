"""The official schema as an oracle, documents to try it on, and ways of spoiling them."""

from __future__ import annotations

import copy
import random
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_rs

from orchestrator.document.dsl_schema import Revision
from orchestrator.document.parser import parse
from tests.support.spec import CASES, SPEC, case_document, cases, scenarios, yaml

Json = Any

HEAD = "document: {dsl: '1.0.3', namespace: test, name: sample, version: '1.0.0'}\n"
"""The first line of a valid document, so that what follows begins on line 2."""


@cache
def official_schema(revision: Revision) -> dict[str, Json]:
    """The official schema of one revision."""
    return yaml((SPEC / "schema" / f"workflow-1.0.3-{revision}.yaml").read_text())


@cache
def official(revision: Revision) -> jsonschema_rs.Validator:
    """The same, compiled: the oracle."""
    return jsonschema_rs.validator_for(official_schema(revision))


def examples() -> Iterator[tuple[str, str]]:
    """The official examples of both revisions: name and text."""
    for path in sorted(SPEC.glob("examples*/*.yaml")):
        yield f"{path.parent.name}/{path.stem}", path.read_text()


def others() -> Iterator[tuple[str, str]]:
    """The documents of other runtimes' suites: name and text."""
    listed = set()
    for case in cases():
        listed.add(CASES / "documents" / case["file"])
        yield case["id"], case_document(case)
    for path in sorted((CASES / "documents").rglob("*.yaml")):
        if path not in listed:
            yield str(path.relative_to(CASES / "documents")), path.read_text()


@cache
def corpus() -> tuple[Json, ...]:
    """Every document there is, as its value."""
    texts = [text for _, text in (*examples(), *others())]
    texts += [scenario.document for scenario in scenarios()]
    return tuple(parse(text).value for text in texts)


VALUES: tuple[Json, ...] = (
    None, True, False, 0, -1, 1.0, 1.5, 70_000, 10**25, "", "x", " ", "a b", "${ .x }",
    " ${ .x }\n", "${ }", "${\n.x}", "P1D", "PT5S", "P", "PT", "https://x.y", "http:", "/a/b",
    "a b:c", "\u017f", "\u0661", "1.0.3", "latest", [], {}, ["x"], [1], [{}], {"use": "x"},
    {"use": ""}, {"seconds": 1}, {"a": {"set": {"x": 1}}}, [{"a": {"set": {"x": 1}}}],
    [{"a": {"call": "f"}}], {"after": "PT1S"}, {"with": {"type": "x"}}, [{"with": {"type": "x"}}],
    {"any": []}, {"one": {"with": {"type": "t"}}}, {"basic": {"use": "s"}},
    {"bearer": {"token": "t"}}, {"basic": {}},
)  # fmt: skip


class Spoiler:
    """Changes documents at random: leaves keys out, renames them, puts in others, puts values of
    another type or from elsewhere in their place. Reproducible by its seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.values: dict[str, list[Json]] = defaultdict(list)
        self.words: set[str] = set()
        for document in corpus():
            self._learn(document)
        for revision in Revision:
            self._learn_words(official_schema(revision))
        self.keys = sorted({*self.values, *self.words})

    def spoiled(self) -> Json:
        """One of the documents with one to three changes."""
        document = copy.deepcopy(self.random.choice(corpus()))
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            node = self.random.choice(list(_containers(document)))
            if isinstance(node, dict):
                self._change_mapping(node)
            else:
                self._change_list(node)
        return document

    def _learn(self, value: Json) -> None:
        for node in _containers(value):
            if isinstance(node, dict):
                for key, inner in node.items():
                    self.values[key].append(inner)

    def _learn_words(self, schema: Json) -> None:
        for node in _containers(schema):
            if isinstance(node, dict):
                if isinstance(node.get("properties"), dict):
                    self.words.update(node["properties"])
                if isinstance(node.get("enum"), list):
                    self.words.update(word for word in node["enum"] if isinstance(word, str))

    def _change_mapping(self, node: dict[str, Json]) -> None:
        key = self.random.choice(sorted(node)) if node else None
        how = self.random.random()
        if key is None or how < 0.3:
            new = self.random.choice(self.keys)
            node[new] = self._like(new)
        elif how < 0.5:
            del node[key]
        elif how < 0.65:
            node[self.random.choice(self.keys)] = node.pop(key)
        else:
            node[key] = self._like(key) if how > 0.9 else self._any()

    def _change_list(self, node: list[Json]) -> None:
        how = self.random.random()
        if not node or how < 0.4:
            node.append(self._any())
        elif how < 0.7:
            del node[self.random.randrange(len(node))]
        else:
            node[self.random.randrange(len(node))] = self._any()

    def _like(self, key: str) -> Json:
        """What stands under such a key elsewhere, mostly."""
        known = self.values.get(key)
        if not known or self.random.random() < 0.3:
            return self._any()
        return copy.deepcopy(self.random.choice(known))

    def _any(self) -> Json:
        how = self.random.random()
        if how < 0.5:
            return copy.deepcopy(self.random.choice(VALUES))
        key = self.random.choice(self.keys)
        known = self.values.get(key)
        return key if how < 0.7 or not known else copy.deepcopy(self.random.choice(known))


def _containers(value: Json) -> Iterator[Json]:
    """Every mapping and list in a value, itself included."""
    if isinstance(value, dict | list):
        yield value
        for inner in list(value.values() if isinstance(value, dict) else value):
            yield from _containers(inner)
