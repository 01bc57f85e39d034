"""The size of the automaton of a regular expression, estimated from its text.

The `regex` engine matches in time proportional to this size and to the length of the text. A
counted repetition multiplies the size of what it repeats, so nested ones make a large automaton
out of a short pattern: `(a{1,100}){1,100}` has 10,000 states.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""\\[pP]\{[^}]*\}                     # a Unicode category: many ranges
      | \\.                                  # another escape
      | \[\^?\]?(?:\\.|[^\]\\])*\]           # a class of characters
      | \((?:\?(?:P?<[A-Za-z_]\w*>|[a-z-]*:|<?[=!]))?  # a group opens
      | \{(?P<least>\d+)(?:,(?P<most>\d*))?\}  # a counted repetition
      | .""",
    re.DOTALL | re.VERBOSE,
)
#: States of a Unicode category in the engine, about.
_CATEGORY = 500


def states(pattern: str) -> int:
    """Return about how many states the automaton of a pattern has. Linear in the pattern."""
    groups: list[int] = [0]
    last = 0
    for token in _TOKEN.finditer(pattern):
        text = token[0]
        if text[0] == "(":
            groups[-1] += last
            groups.append(0)
            last = 0
        elif text == ")" and len(groups) > 1:
            last += groups.pop()
        elif token["least"] is not None:
            last *= max(int(token["least"][:9]), int((token["most"] or "0")[:9]), 1)
        elif text not in "*+?|":
            groups[-1] += last
            last = _CATEGORY if text[:2] in ("\\p", "\\P") else 1
    return sum(groups) + last
