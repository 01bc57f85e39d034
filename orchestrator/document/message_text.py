"""Text of messages: cut long words, list words, suggest the word that was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

_MAX_LENGTH = 60
#: The most words that one word is compared with.
_MAX_COMPARED = 1000


def short(text: str, longest: int = _MAX_LENGTH) -> str:
    """Return a text of the document for a message: on one line and not too long."""
    line = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return line if len(line) <= longest else line[:longest] + "..."


def quoted(text: str) -> str:
    """Return the shortened text in quotation marks."""
    return f"'{short(text)}'"


def quoted_list(words: Iterable[str], last: str = "or") -> str:
    """Return the words as `'a', 'b' or 'c'`."""
    each = [quoted(word) for word in words]
    if len(each) < 2:
        return "".join(each)
    return f"{', '.join(each[:-1])} {last} {each[-1]}"


def nearest_word(word: str, known: Iterable[str], cutoff: float = 0.7) -> str | None:
    """Return the known word that the author probably meant, ignoring case, or None. Only the first
    words of a similar length are compared."""
    if len(word) > _MAX_LENGTH:
        return None
    similar = (each for each in known if abs(len(each) - len(word)) <= len(word))
    candidates = {each.lower(): each for each in islice(similar, _MAX_COMPARED)}
    matches = difflib.get_close_matches(word.lower(), candidates, n=1, cutoff=cutoff)
    # If difflib finds no similar word, take a known word with the same letters in another order. In
    # a short word, two swapped letters already make difflib's similarity too low.
    matches = matches or [each for each in candidates if sorted(each) == sorted(word.lower())]
    return candidates[matches[0]] if matches else None


def suggestion(meant: str | None) -> str:
    """Return `, did you mean 'call'?`, or an empty text."""
    return f", did you mean {quoted(meant)}?" if meant is not None else ""
