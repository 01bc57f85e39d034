"""Texts of documents: what is read, what is refused, and at which line and column."""

from __future__ import annotations

import pytest

from orchestrator.document import DocumentError, InvalidDocument, MalformedDocument, load
from orchestrator.document.parser import parse
from orchestrator.document.parser.bounds import MAX_BYTES, MAX_CHARACTERS, MAX_DEPTH, MAX_NODES

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
REPEATED = "- &x " + "x" * 100_000 + "\n" + "- *x\n" * 100_000
REPEATED_NUMBERS = "- &x " + "9" * 4300 + "\n" + "- *x\n" * 100_000


def read(text: str, media_type: str = "application/yaml"):
    return parse(text, media_type).value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("2024-01-31", "2024-01-31"),
        ("2024-01-31T10:00:00Z", "2024-01-31T10:00:00Z"),
        ("12:30:45", "12:30:45"),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("-7", -7),
        ("+7", 7),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("1.0.3", "1.0.3"),
        ("-x", "-x"),
        ("9" * 4300, int("9" * 4300)),
        ("'1'", "1"),
        ('"\\u00e9\\ud83d\\ude00"', "é😀"),
        ("!!str 1", "1"),
        ("! 1", "1"),
        ("!!int '1'", 1),
        ("!!float 1", 1.0),
        ("!!bool 'true'", True),
        ("|\n  one\n  two\n", "one\ntwo\n"),
        (">-\n  one\n  two\n", "one two"),
        ("{a: b:c, u: http://x.y/?z}", {"a": "b:c", "u": "http://x.y/?z"}),
        ("!!map {a: !!seq [1]}", {"a": [1]}),
    ],
)
def test_yaml_scalars_mean_what_yaml_1_2_says(text: str, value: object):
    found = read(f"key: {text}")["key"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_texts():
    assert read("on: 1\n404: 2\nnull: 3\n1.0: 4\n'': 5\n") == {
        "on": 1, "404": 2, "null": 3, "1.0": 4, "": 5,
    }  # fmt: skip


def test_aliases_repeat_and_merge():
    text = "base: &b {x: 1, y: 2}\nsame: *b\nmore: {<<: *b, y: 3}\nboth: {<<: [*b, {z: 4}]}\n"
    assert read(text) == {
        "base": {"x": 1, "y": 2},
        "same": {"x": 1, "y": 2},
        "more": {"x": 1, "y": 3},
        "both": {"x": 1, "y": 2, "z": 4},
    }


def test_what_was_merged_stands_where_it_was_written():
    root = parse("a: &a\n  x: 1\nb:\n  <<: *a\n  y: 2\n", "application/yaml").root
    assert root.of("/b/x").position == (2, 6)
    assert root.of_key("/b/x") == (2, 3)
    assert root.of_key("/b/y") == (5, 3)


def test_places_are_found_by_pointers():
    root = parse("a/b:\n  - c~d: é😀\n    e: [1, {f: 2}]\n", "application/yaml").root
    assert root.of_key("/a~1b") == (1, 1)
    assert root.of("/a~1b/0").position == (2, 5)
    assert root.of("/a~1b/0/c~0d").position == (2, 10)
    assert root.of("/a~1b/0/e/1/f").position == (3, 16)
    assert root.of_key("/a~1b/0/e/1") == (3, 12)
    assert root.of("/a~1b/0/missing/x").position == (2, 5)
    assert root.of("/a~1b/7").position == (2, 3)
    assert root.of("/a~1b/x").position == (2, 3)


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("", (1, 1), "the document is empty"),
        ("# only a comment\n", (1, 1), "the document is empty"),
        ("---\n", (1, 1), "the document is empty"),
        ("a: 1\n---\nb: 2\n", (2, 1), "a second document"),
        ("a: 1\nb: 2\na: 3\n", (3, 1), "the key 'a' appears twice (first at 1:1)"),
        ("a: {b: 1,\n  b: 2}\n", (2, 3), "the key 'b' appears twice"),
        ("1: x\n'1': y\n", (2, 1), "the key '1' appears twice"),
        ("a: !!python/object:os.system x\n", (1, 4), "unknown tag !!python/object:os.system"),
        ("a: !mine {b: 1}\n", (1, 4), "unknown tag !mine"),
        ("a: !!set {b}\n", (1, 4), "unknown tag !!set"),
        ("a: !!binary aGk=\n", (1, 4), "unknown tag !!binary"),
        ("a: !!timestamp 2024-01-01\n", (1, 4), "unknown tag !!timestamp"),
        ("a: !!int x\n", (1, 4), "'x' is not what its tag !!int says"),
        ("? [a, b]\n: c\n", (1, 3), "a key must be a text"),
        ("? {a: b}\n: c\n", (1, 3), "a key must be a text"),
        ("a: &x [1]\n*x : 2\n", (2, 1), "a key must be a text"),
        ("a: *b\n", (1, 4), "the alias '*b' was never defined"),
        ("a: &x\n  - *x\n", (2, 5), "the alias '*x' repeats itself endlessly"),
        ("x: &a [1]\ny: &a [*a]\n", (2, 8), "the alias '*a' repeats itself endlessly"),
        ("a:\n  <<: 3\n", (2, 7), "'<<' merges a mapping"),
        ("a:\n  <<: [{b: 1}, 3]\n", (2, 7), "'<<' merges a mapping"),
        ("a: .inf\n", (1, 4), ".inf is not a number"),
        ("a: .NaN\n", (1, 4), ".NaN is not a number"),
        ("a: 1e999\n", (1, 4), "1e999 is too large"),
        ("a: " + "9" * 4301, (1, 4), "the integer has more than 4300 digits"),
        ("a: 0x" + "f" * 9000, (1, 4), "the integer has more than 4300 digits"),
        ("a: [1, 2\nb: 3\n", (2, 2), "expected ',' or ']'"),
        ("a: 'b\n", (2, 1), "end of stream"),
        ("a: b: c\n", (1, 5), "mapping values are not allowed here"),
        ("a:\n\tb: 1\n", (2, 1), "'\\t' that cannot start any token"),
        ("a: \x07\n", (1, 4), "#x0007 is not allowed in YAML"),
        ("é: 1\n😀: [\x00]\n", (2, 5), "#x0000 is not allowed in YAML"),
        ("a: " + "[" * 300, (1, 3 + MAX_DEPTH), f"more than {MAX_DEPTH} levels"),
        (BOMB, (6, 10), f"more than {MAX_NODES} values"),
        (REPEATED, (21, 3), f"more than {MAX_CHARACTERS} characters"),
        (REPEATED_NUMBERS, (441, 3), f"more than {MAX_CHARACTERS} characters"),
        ("x" * (MAX_BYTES + 1), (1, 1), f"the document has {MAX_BYTES + 1} bytes"),
        ("é" * (MAX_BYTES // 2 + 1), (1, 1), f"the document has {MAX_BYTES + 2} bytes"),
    ],
)
def test_what_is_no_yaml_is_refused_at_its_place(text: str, at: tuple[int, int], message: str):
    assert_refused(MalformedDocument, text, "application/yaml", at, message)


@pytest.mark.parametrize(
    ("text", "at", "message"),
    [
        ("", (1, 1), "the document is empty"),
        (" \n", (1, 1), "the document is empty"),
        ('{"a": 1', (1, 8), "',' or the end of the {} is expected here, not the end"),
        ('{"a": 1}\n{"b": 2}', (2, 1), "nothing more is expected here, not '{'"),
        ('{"a": 1, "b": 2,\n "a": 3}', (2, 2), "the key 'a' appears twice (first at 1:2)"),
        ('{"a": 1,}', (1, 9), "a key is expected here, not '}'"),
        ("[1,]", (1, 4), "a value is expected here, not ']'"),
        ("[1 2]", (1, 4), "',' or the end"),
        ('{"a" 1}', (1, 6), "':' is expected here, not '1'"),
        ("{a: 1}", (1, 2), "a key or '}' is expected here, not 'a'"),
        ("{'a': 1}", (1, 2), "not '''"),
        ("[NaN]", (1, 2), "not 'NaN'"),
        ("[Infinity]", (1, 2), "not 'Infinity'"),
        ("[-Infinity]", (1, 2), "not '-Infinity'"),
        ("[1e999]", (1, 2), "1e999 is too large"),
        ("[-1e999]", (1, 2), "-1e999 is too large"),
        ("[" + "9" * 100_000 + "]", (1, 2), "the integer has more than 4300 digits"),
        ("[01]", (1, 2), "not '01'"),
        ("[.5]", (1, 2), "not '.5'"),
        ("[1.]", (1, 2), "not '1.'"),
        ("[+1]", (1, 2), "not '+1'"),
        ("[tru]", (1, 2), "not 'tru'"),
        ("[1] // no", (1, 5), "nothing more"),
        ('["a\nb"]', (1, 2), "invalid control character"),
        ('["\\x41"]', (1, 2), "invalid \\escape"),
        ('["abc', (1, 2), "unterminated string"),
        ('{"é": "😀", "b": x}', (1, 17), "not 'x'"),
        ("[" * 10_000, (1, MAX_DEPTH + 1), f"more than {MAX_DEPTH} levels"),
        ('{"a":' * 10_000, (1, 5 * MAX_DEPTH + 1), f"more than {MAX_DEPTH} levels"),
        ("[" + "1," * 250_000 + "1]", (1, 400_000), f"more than {MAX_NODES} values"),
    ],
)
def test_what_is_no_json_is_refused_at_its_place(text: str, at: tuple[int, int], message: str):
    assert_refused(MalformedDocument, text, "application/json", at, message)


@pytest.mark.parametrize(
    ("text", "media_type", "at", "message"),
    [
        ('a: "\\0"', "application/yaml", (1, 4), "a NUL character"),
        ('a: "\\ud800"', "application/yaml", (1, 4), "half of a surrogate pair"),
        ('{"a": ["x\\u0000"]}', "application/json", (1, 8), "a NUL character"),
        ('{"a": {"\\udc00b": 1}}', "application/json", (1, 8), "half of a surrogate pair"),
    ],
)
def test_text_that_cannot_be_kept_is_invalid(
    text: str, media_type: str, at: tuple[int, int], message: str
):
    assert_refused(InvalidDocument, text, media_type, at, message)


def assert_refused(
    kind: type[DocumentError], text: str, media_type: str, at: tuple[int, int], message: str
):
    with pytest.raises(kind) as caught:
        parse(text, media_type)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == at, problem
    assert message in problem.message
    assert str(caught.value) == f"{at[0]}:{at[1]}: {problem.message}"


def test_the_pointer_of_a_broken_place():
    with pytest.raises(MalformedDocument) as caught:
        parse("do:\n  - a/b:\n      set: {x: [1, .nan]}\n")
    assert caught.value.problems[0].pointer == "/do/0/a~1b/set/x/1"


def test_bytes_are_utf_8():
    assert parse("\ufeffé: 😀".encode()).value == {"é": "😀"}
    with pytest.raises(MalformedDocument) as caught:
        parse(b"a: \xc3\xa9\nb: c\xff\n")
    assert str(caught.value) == "2:5: the document is not UTF-8"
    with pytest.raises(MalformedDocument, match="1:4: half of a surrogate pair"):
        parse("a: \ud800", "application/yaml")


@pytest.mark.parametrize(
    ("media_type", "text"),
    [
        (None, '{"a": 1}'),
        (None, "a: 1"),
        (None, "{a: 1}"),
        (None, "{}"),
        ("application/json", '{"a": 1}'),
        ("application/json; charset=utf-8", '{"a": 1}'),
        ("application/cloudevents+json", '{"a": 1}'),
        ("application/yaml", '{"a": 1}'),
        ("application/x-yaml", "a: 1"),
        ("text/vnd.yaml", "a: 1"),
        ("text/x-yaml; charset=utf-8", "a: 1"),
        ("application/vnd.acme+yaml", "a: 1"),
    ],
)
def test_media_types(media_type: str | None, text: str):
    assert parse(text, media_type).value in ({"a": 1}, {})


def test_other_media_types_are_refused():
    with pytest.raises(MalformedDocument, match="'text/xml' is neither JSON nor YAML"):
        load("<a/>", "text/xml")


def test_yaml_holds_json():
    text = '{"a": [1, 2.5, "x\\n\\u00e9\\/", true, null, {"b":{}}],"c":"\\ud83d\\ude00"}'
    assert read(text) == read(text, "application/json")
