"""The order of workflow versions (semver.org 2.0.0, section 11), as text that sorts in this
order."""

from __future__ import annotations

_RELEASE = "~"  # sorts after every pre-release, whose mark is "-"


def version_key(version: str) -> str:
    """Return text that compares, byte by byte, as the versions do.

    A version that is not semantic sorts before all that are, by its own text.
    """
    core, _, pre = version.partition("+")[0].partition("-")
    numbers = core.split(".")
    if len(numbers) != 3 or not all(_is_number(number) for number in numbers):
        return "!" + version
    rest = "-" + " ".join(map(_identifier, pre.split("."))) if pre else _RELEASE
    return ".".join(map(_number, numbers)) + rest


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _number(digits: str) -> str:
    """Longer numbers are greater; numbers of equal length compare as text."""
    stripped = digits.lstrip("0") or "0"
    return f"{len(stripped):03d}{stripped}"


def _identifier(text: str) -> str:
    """Numeric identifiers are lower than alphanumeric ones."""
    return "0" + _number(text) if _is_number(text) else "1" + text
