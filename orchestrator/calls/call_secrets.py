"""Secrets during a call: read after the claim, masked in everything that is returned."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_plus

from orchestrator.calls import call_errors
from orchestrator.errors import WorkflowError
from orchestrator.expressions import is_expression, program_of
from orchestrator.expressions.lexer import Token, TokenKind
from orchestrator.expressions.program_rules import read

Json = Any

MASK = "***"
NAMES = ("secrets", "secret")  # $secrets, and $secret as some runtimes have it
_MIN_LENGTH = 4  # characters; masking shorter texts would damage unrelated output
_MIN_BASE64_LENGTH = 8  # bytes; the base64 of fewer may occur by chance
#: Characters of a text whose other case and hexadecimal form are masked, too.
_MIN_CASE_LENGTH = 6
_URL_SAFE = str.maketrans("+/", "-_")


class Secrets:
    """The secrets that a workflow declares (`use.secrets`), and those that a call has used.

    `lookup` returns a secret's value by name, or raises `WorkflowError` (authorization, 403:
    dsl.md, Secret).
    """

    def __init__(self, lookup: Callable[[str], Json], declared: Iterable[str]) -> None:
        self._lookup = lookup
        self._declared = tuple(declared)
        self._used: dict[str, Json] = {}
        self._masks: list[str] | None = None
        self._numbers: set[float] = set()

    @property
    def used(self) -> bool:
        """Whether the call has used any secret."""
        return bool(self._used)

    def value(self, name: str) -> Json:
        """Return a secret's value. Raise `WorkflowError` if it does not exist or is not
        declared."""
        if name not in self._declared:
            raise call_errors.authorization(f"the workflow does not declare the secret {name!r}")
        if name not in self._used:
            self._used[name] = self._lookup(name)
            self._masks = None
        return self._used[name]

    def variables(self, tree: Json) -> dict[str, Json]:
        """Return the value of `$secrets` for the expressions in a value: the secrets that they
        name, or all secrets if an expression uses `$secrets` as a whole."""
        mentioned = list(dict.fromkeys(_mentioned(tree)))
        if not mentioned:
            return {}
        names = self._declared if None in mentioned else [name for name in mentioned if name]
        values = {name: self.value(name) for name in names}
        return dict.fromkeys(NAMES, values)

    def in_value(self, value: Json) -> bool:
        """Whether a value contains the text of a used secret."""
        return bool(self._used) and self.mask(value) != value

    def mask(self, value: Json) -> Json:
        """Return the value with every text of a used secret replaced, its usual encodings, and the
        numbers that its text stands for (`tonumber`, the seconds of a date)."""
        if self._masks is None:
            texts = {text for used in self._used.values() for text in _texts(used)}
            texts |= {inner for text in texts for inner in _texts(_parsed(text))}
            forms = {form for text in texts for form in _forms(text)}
            self._masks = sorted(forms, key=len, reverse=True)
            self._numbers = {number for text in texts for number in _numbers(text)}
            for used in self._used.values():
                self._numbers |= {float(one) for one in _long_numbers(used)}
        if not self._masks and not self._numbers:
            return value
        return _masked(value, self._masks, self._numbers)

    def mask_error(self, error: WorkflowError) -> WorkflowError:
        """Return the error with every text of a used secret replaced."""
        return WorkflowError(**self.mask(error.to_json()))


def mentions(tree: Json) -> bool:
    """Whether an expression in an unevaluated value uses a secret."""
    return any(True for _ in _mentioned(tree))


def _mentioned(tree: Json) -> Iterable[str | None]:
    """Yield the names after `$secrets` in all expressions of a value; None for `$secrets` as a
    whole."""
    if is_expression(tree):
        yield from _names(read(program_of(tree)).tokens)
    elif isinstance(tree, dict):
        for item in tree.values():
            yield from _mentioned(item)
    elif isinstance(tree, list):
        for item in tree:
            yield from _mentioned(item)


def _names(tokens: tuple[Token, ...]) -> Iterable[str | None]:
    for index, token in enumerate(tokens):
        if token.kind is TokenKind.VARIABLE and token.text in NAMES:
            yield _name_after(tokens[index + 1 : index + 5])


def _name_after(tokens: tuple[Token, ...]) -> str | None:
    """Return the name in `.name`, `."name"`, `["name"]` or `.["name"]`, else None."""
    if tokens and tokens[0].kind is TokenKind.FIELD:
        return tokens[0].text
    signs = 0
    while (
        signs < len(tokens) and tokens[signs].kind is TokenKind.SIGN and tokens[signs].text in ".["
    ):
        signs += 1
    named = tokens[signs : signs + 1] if signs else ()
    closed = tokens[signs + 1 : signs + 2]
    if not named or named[0].kind is not TokenKind.STRING or "\\" in named[0].text:
        return None
    bracketed = tokens[signs - 1].text == "["
    return named[0].text if not bracketed or (closed and closed[0].text == "]") else None


def _texts(value: Json) -> Iterable[str]:
    if isinstance(value, str) and len(value) >= _MIN_LENGTH:
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _forms(text: str) -> Iterable[str]:
    """Yield the forms in which a text can appear: unchanged, quoted by Python or JSON, and in the
    encodings of our own calls, which a service may return: in a URL, and in base64 (Basic
    authentication, `output: raw`). Also in the other case and in hexadecimal digits."""
    data = text.encode("utf-8", "surrogatepass")
    wide = len(text) >= _MIN_CASE_LENGTH
    for form in {
        text,
        *((text.upper(), text.lower()) if wide else ()),
        repr(text)[1:-1],
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        quote(data),
        quote(data, safe=""),
        quote_plus(data),
    }:
        yield form
        if len(data) >= _MIN_CASE_LENGTH:
            yield data.hex()
            yield data.hex().upper()
        if len(data) >= _MIN_BASE64_LENGTH:
            yield from _in_base64(form.encode("utf-8", "surrogatepass"))


def _in_base64(data: bytes) -> Iterable[str]:
    """Yield the common part of the base64 of all texts that contain these bytes, for each of the
    three offsets at which they can begin, in both alphabets."""
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + data).decode()
        # Cut off the characters at each end that also encode bits of a neighbouring byte. The rest
        # is the same in the base64 of every text that contains these bytes at this offset.
        certain = encoded[-(-offset * 8 // 6) : (offset + len(data)) * 8 // 6]
        yield certain
        yield certain.translate(_URL_SAFE)


def _parsed(text: str) -> Json:
    """Return what a secret's text contains as JSON (`fromjson`); None for other texts."""
    try:
        return json.loads(text) if text[:1] in '[{"' else None
    except (ValueError, RecursionError):
        return None


def _numbers(text: str) -> Iterable[float]:
    """Yield the numbers that a secret's text stands for: itself, and the seconds of a date."""
    with suppress(ValueError, OverflowError):
        yield float(text)
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(text)
        yield (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _long_numbers(value: Json) -> Iterable[float]:
    """Yield the numbers in a secret that is JSON, unless they are too short to be one."""
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if len(str(value)) >= _MIN_LENGTH:
            yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _long_numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from _long_numbers(item)


def _masked(value: Json, texts: list[str], numbers: set[float]) -> Json:
    if isinstance(value, str):
        for text in texts:
            value = value.replace(text, MASK)
        return value
    if isinstance(value, dict):
        return {
            _masked(key, texts, numbers): _masked(item, texts, numbers)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_masked(item, texts, numbers) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool) and value in numbers:
        return MASK
    return value
