"""Hostile documents: each has its answer, at its place, in a bounded time."""

from __future__ import annotations

import json
import time

import pytest

from orchestrator.document import InvalidDocument, MalformedDocument, load
from orchestrator.document.checks.size import MAX_TASKS
from orchestrator.document.parser.bounds import MAX_BYTES
from tests.support.official_schema import HEAD

#: Seconds of CPU; most of these take a few milliseconds.
MOST_TIME = 8.0

BOMB = (
    HEAD
    + "do: []\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
)
MERGE_BOMB = (
    HEAD
    + "do: []\na0: &a0 {k0: 1}\n"
    + "".join(
        f"a{n}: &a{n} {{k{n}: [{', '.join([f'*a{n - 1}'] * 9)}], <<: *a{n - 1}}}\n"
        for n in range(1, 10)
    )
)

MALFORMED = [
    ("alias bomb", BOMB, "8:10"),
    ("merge bomb", MERGE_BOMB, "8:35"),
    ("1,100 levels", HEAD + "do: [{a: {set: {x: " + "[" * 1100, "2:25"),
    ("1,100 levels of JSON", '{"a":' * 1100, "1:1201"),
    ("a python object", HEAD + "do: !!python/object/apply:os.system ['id']\n", "2:5"),
    ("a python name", HEAD + "x: !!python/name:os.system\ndo: []\n", "2:4"),
    ("several documents", HEAD + "do: []\n---\n" + HEAD + "do: []\n", "3:1"),
    ("a duplicate key", HEAD + "do: []\ndo: []\n", "3:1"),
    ("a duplicate key in JSON", '{"document": {}, "document": {}}', "1:18"),
    ("an alias to itself", HEAD + "do: &x [{a: {set: {y: *x}}}]\n", "2:23"),
    ("NaN in JSON", '{"document": NaN}', "1:14"),
    ("1e999", HEAD + "do: [{a: {set: {x: 1e999}}}]\n", "2:20"),
    ("a 100,000-digit integer", HEAD + "do: [{a: {set: {x: " + "9" * 100_000 + "}}}]\n", "2:20"),
    ("a huge text", "x" * (MAX_BYTES + 1), "1:1"),
    ("a control character", HEAD + "do: [{a: {set: {x: \x1b}}}]\n", "2:20"),
    ("a truncated text", '{"document": {"dsl": "1.0.3"', "1:29"),
    ("binary", "\x89PNG\r\n\x1a\n\x00\x00", "1:1"),
    ("a million brackets", "[" * 1_000_000, "1:241"),
    ("a million flow marks", "{a: b:c}\n" + "? " * 400_000, "2:1"),
    ("sixty thousand anchors", "".join(f"- &a{n} x\n" for n in range(60_000)) + "- *b\n",
     "60001:3: the alias '*b' was never defined"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "at"), [each[1:] for each in MALFORMED],
                         ids=[each[0] for each in MALFORMED])  # fmt: skip
def test_malformed(text: str, at: str):
    began = time.process_time()
    with pytest.raises(MalformedDocument) as caught:
        load(text)
    assert time.process_time() - began < MOST_TIME
    (problem,) = caught.value.problems
    assert str(problem).startswith(at)


INVALID = [
    ("an unknown target", "do: [{a: {set: {x: 1}, then: nowhere}}]", "2:30: no task 'nowhere'"),
    ("self-recursion", "do: [{a: {run: {workflow: {namespace: test, name: sample,"
     " version: '1.0.0'}}}}]", "2:17: the workflow runs itself"),
    ("a fork of thousands", "do: [{f: {fork: {branches: ["
     + "{b: {set: {x: 1}}}, " * MAX_TASKS + "]}}}]", "2:"),
    ("a negative duration", "do: [{a: {wait: {seconds: -1}}}]", "2:17: a duration cannot be"),
    ("9,999 years", "do: [{a: {wait: P9999Y}}]", "2:17: a duration cannot be longer"),
    ("30 February", "do: []\nschedule: {cron: '0 0 30 2 *'}", "3:18: '0 0 30 2 *' is no cron"),
    ("10^9 retries", "do: [{a: {try: [], catch: {retry: {limit: {attempt:"
     " {count: 1000000000}}}}}}]", "2:61: retries are counted"),
    ("$ENV", "do: [{a: {set: {x: '${ $ENV }'}}}]", "2:20: the expression cannot be used: $ENV"),
    ("env", "do: [{a: {set: {x: '${ env.HOME }'}}}]", "2:20: the expression cannot be used: 'env'"),
    ("a bad schema", "do: []\ninput: {schema: {document: {type: 5}}}", "3:35: no valid JSON"),
    ("a schema that fetches", "do: []\ninput: {schema: {document:"
     " {$ref: 'http://169.254.169.254/'}}}", "3:18: the JSON Schema refers to"),
    ("a schema's bad pattern", "do: []\ninput: {schema: {document: {pattern: '('}}}", "3:38: no"),
    ("NUL", 'do: [{a: {set: {x: "\\0"}}}]', "2:20: a NUL character"),
    ("half a surrogate pair", 'do: [{a: {set: {x: "\\udc00"}}}]', "2:20: half of a surrogate"),
    ("a zero-width name", 'do: [{"a\\u200b": {set: {x: 1}}}]', "2:7: the name has a character"),
    ("a right-to-left name", 'do: [{"a\\u202e": {set: {x: 1}}}]', "2:7: the name has a"),
    ("a 1,001-character name", "do: [{" + "n" * 1001 + ": {set: {x: 1}}}]", "2:7: the name has"),
    ("CRLF in a header", "do: [{a: {call: http, with: {method: get, endpoint: 'https://x',"
     ' headers: {X: "a\\r\\nB: c"}}}}]', "2:79: the header has a line break"),
    ("a list", "do: [[]]", "2:6: should be a mapping"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "at"), [each[1:] for each in INVALID],
                         ids=[each[0] for each in INVALID])  # fmt: skip
def test_invalid(text: str, at: str):
    began = time.process_time()
    with pytest.raises(InvalidDocument) as caught:
        load(HEAD + text)
    assert time.process_time() - began < MOST_TIME
    assert str(caught.value.problems[0]).startswith(at)


def test_a_prototype_is_only_a_key():
    text = '{"document": {"dsl": "1.0.3", "namespace": "t", "name": "n", "version": "1.0.0"},'
    text += ' "do": [{"a": {"set": {"__proto__": {"x": 1}, "__class__": "y"}}}]}'
    assert load(text).document == json.loads(text)


@pytest.mark.slow
def test_a_thousand_hostile_expressions_end():
    tasks = "".join(f"- t{n}: {{set: {{x: '${{ nope{n} | map(.) }}'}}}}\n" for n in range(1000))
    began = time.process_time()
    with pytest.raises(InvalidDocument, match=r"nope\d+/0 is not defined"):
        load(HEAD + "do:\n" + tasks)
    assert time.process_time() - began < MOST_TIME


@pytest.mark.slow
def test_large_documents_are_read_in_time():
    """As many tasks as may be take about a second of an idle machine."""
    tasks = "".join(
        f"- task{n}:\n    set:\n      total: ${{ .items{n} }}\n      n: {n}\n    then: continue\n"
        for n in range(MAX_TASKS)
    )
    load(HEAD + "do: []\n")  # compiles the schema
    began = time.process_time()
    assert len(load(HEAD + "do:\n" + tasks).document["do"]) == MAX_TASKS
    assert time.process_time() - began < 7
