"""Words for messages: cut what is long, find what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MAX_LENGTH = 60


def short(text: str, longest: int = _MAX_LENGTH) -> str:
    """A text of the document as a message can show it: on one line, and not too long."""
    line = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return line if len(line) <= longest else line[:longest] + "..."


def quoted(text: str) -> str:
    """The same in quotation marks."""
    return f"'{short(text)}'"


def listed(words: Iterable[str], last: str = "or") -> str:
    """`'a', 'b' or 'c'`."""
    each = [quoted(word) for word in words]
    if len(each) < 2:
        return "".join(each)
    return f"{', '.join(each[:-1])} {last} {each[-1]}"


def nearest(word: str, known: Iterable[str], cutoff: float = 0.7) -> str | None:
    """The known word that was probably meant, whatever its case; None where none is near."""
    candidates = {each.lower(): each for each in known}
    if len(word) > _MAX_LENGTH:
        return None
    found = difflib.get_close_matches(word.lower(), candidates, n=1, cutoff=cutoff)
    # In a short word, two letters in the wrong order are already far from the right one.
    found = found or [each for each in candidates if sorted(each) == sorted(word.lower())]
    return candidates[found[0]] if found else None


def suggestion(meant: str | None) -> str:
    """`, did you mean 'call'?`, or nothing."""
    return f", did you mean {quoted(meant)}?" if meant is not None else ""
