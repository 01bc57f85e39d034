"""Reading raises nothing but our own errors, and finds what is there, where it is."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from orchestrator.document import DocumentError
from orchestrator.document.parser import parse, yaml_parsers, yaml_reader
from orchestrator.document.parser.open_values import AnchoredValue
from orchestrator.document.source_positions import ListPosition, MappingPosition, SourcePosition
from tests.support.examples import examples

pytestmark = pytest.mark.examples

Json = Any

#: Without what no text of a document may hold, the line ends of YAML 1.1, at which ruamel.yaml
#: still breaks lines, and the colon: it writes `{:x: 1}`, which it cannot read.
texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\x85\u2028\u2029\ufeff:"),
    max_size=12,
)
numbers = st.one_of(
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)

#: What YAML is made of, good for joining at random. Tabs are left out: the parser in Python
#: refuses more of them than YAML 1.2 does.
PIECES = [
    "a", "b: ", "- ", "\n", "  ", "    ", "{", "}", "[", "]", ",", ": ", '"x"', "'y'", "|\n", ">\n",
    ">-\n", "|+\n", "# c\n", "&a ", "*a", "!!str ", "!x ", "? ", "---\n", "...\n", "<<: ", "null",
    "1", "1.5", "true", '"\\n"', '"a\n b"', "%YAML 1.2\n", "é", "😀", "\u2028", "\r\n", "-", "?",
    "@", "`", "%", "x:y", "a#b", "a #b", "\ufeff", '"\\u0041"', "~", ".inf", "key: value\n",
    "- item\n", "k:\n  - v\n", '"\\ud83d\\ude00"', '"\\0"',
]  # fmt: skip
yamlish = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)
WORDS = [
    "{", "}", "[", "]", ",", ":", '"a"', '"b"', "1", "-", "1.5e3", "true", "nul", "NaN", " ",
    "\n", '"\\ud800"', '"', "\\", "1e999", "0", "é",
]  # fmt: skip
jsonish = st.lists(st.sampled_from(WORDS), max_size=20).map("".join)


def read(source: bytes | str, media_type: str | None = None) -> Json:
    """The value, or the problems of what cannot be read."""
    try:
        return parse(source, media_type).value
    except DocumentError as error:
        return error.problems


@settings(max_examples=examples(600), deadline=None)
@given(st.one_of(yamlish, st.text(st.characters(), max_size=40), st.binary(max_size=40)))
@example("a: \ud800")
@example("b: &a {x: *a}")
@example("&a b: *a")
@example("? ")
@example("\t")
@example("%")
@example(">\n---\n")
def test_nothing_escapes_from_yaml(source: bytes | str):
    found = read(source, "application/yaml")
    json.dumps(found, default=str, allow_nan=False)


@settings(max_examples=examples(400), deadline=None)
@given(st.one_of(jsonish, st.text(st.characters(), max_size=40), st.binary(max_size=40)))
@example("\ud800")
def test_nothing_escapes_from_json(source: bytes | str):
    found = read(source, "application/json")
    json.dumps(found, default=str, allow_nan=False)


@settings(max_examples=examples(300), deadline=None)
@given(jsonish)
def test_json_is_judged_as_the_standard_library_does(text: str):
    """Apart from what we refuse on purpose."""

    def refuse(word: str) -> None:
        raise ValueError(word)

    def unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("twice")
        return dict(pairs)

    def finite(number: str) -> float:
        if math.isinf(float(number)):
            raise ValueError(number)
        return float(number)

    assume("\\ud800" not in text)
    hooks: dict[str, Any] = {
        "parse_constant": refuse,
        "parse_float": finite,
        "object_pairs_hook": unique,
    }
    try:
        expected = json.loads(text, **hooks)
    except ValueError:
        with pytest.raises(DocumentError):
            parse(text, "application/json")
    else:
        assert parse(text, "application/json").value == expected


@settings(max_examples=examples(300), deadline=None)
@given(values, st.sampled_from([None, 1, 4]), st.booleans())
def test_json_is_read_as_it_was_written(value: Json, indent: int | None, ascii_only: bool):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    found = parse(text, "application/json")
    assert found.value == value
    assert type(found.value) is type(value)
    assert_places(text, found.value, found.root)


# Reproducible: what is found anew in ruamel.yaml's own writer is no news of ours.
@settings(max_examples=examples(300), deadline=None, derandomize=True)
@given(values, st.booleans())
def test_yaml_is_read_as_it_was_written(value: Json, flow: bool):
    assume(value is not None)
    writer, stream = YAML(typ="safe", pure=True), io.StringIO()
    writer.version = (1, 2)
    writer.default_flow_style = flow
    writer.allow_unicode = True
    writer.dump(value, stream)
    # libyaml takes any question mark within brackets for the mark of a key.
    assume(not flow or "?" not in stream.getvalue())
    assert parse(stream.getvalue(), "application/yaml").value == value


@settings(max_examples=examples(800), deadline=None, derandomize=True)
@given(yamlish)
def test_both_parsers_read_alike_what_both_accept(text: str):
    """The one in C is faster; the one in Python knows YAML 1.2."""
    assume(yaml_parsers.can_use_c_parser(text))
    fast, pure = read_by(yaml_parsers.c_events, text), read_by(yaml_parsers.python_events, text)
    if fast is not None and pure is not None and isinstance(pure.value, dict | list):
        assert fast.value == pure.value
        assert positions(fast.position) == positions(pure.position)


def read_by(parser: Any, text: str) -> AnchoredValue | None:
    try:
        return yaml_reader._Reader().read(parser(text))
    except (YAMLError, DocumentError):
        return None


def positions(place: SourcePosition) -> Any:
    """The positions of everything but of scalars: an empty one has none that is certain."""
    if isinstance(place, MappingPosition):
        inner = {key: positions(each) for key, each in place.values.items()}
        return place.position, place.keys, inner
    if isinstance(place, ListPosition):
        return place.position, [positions(each) for each in place.items]
    return None


def assert_places(text: str, value: Json, place: SourcePosition) -> None:
    """Where a value is said to begin, it does."""
    lines = text.split("\n")
    rest = lines[place.line - 1][place.column - 1 :]
    if isinstance(value, dict):
        assert rest.startswith("{")
        assert isinstance(place, MappingPosition)
        for key, inner in value.items():
            line, column = place.keys[key]
            assert lines[line - 1][column - 1 :].startswith('"')
            assert_places(text, inner, place.values[key])
    elif isinstance(value, list):
        assert rest.startswith("[")
        assert isinstance(place, ListPosition)
        for inner, where in zip(value, place.items, strict=True):
            assert_places(text, inner, where)
    else:
        assert rest.startswith((json.dumps(value), json.dumps(value, ensure_ascii=False)))
