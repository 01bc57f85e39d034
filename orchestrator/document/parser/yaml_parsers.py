"""The two YAML parsers of ruamel.yaml, and their errors. `yaml_reader` explains their use."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import Event
from ruamel.yaml.reader import ReaderError

from orchestrator.document.diagnostics import Diagnostic
from orchestrator.document.message_text import short

try:
    import _ruamel_yaml as c_parser  # type: ignore[import-not-found]
except ImportError:
    c_parser = None

# Finds what ruamel.yaml's C parser (YAML 1.1) and its Python parser (YAML 1.2) read differently:
# line ends that only YAML 1.1 knows, byte order marks inside a text, and `?` before a key in a flow
# collection. A text with any of these is read by the Python parser.
_YAML_1_1_ONLY = re.compile("[\x85\u2028\u2029\ufeff]|[\\[{,]\\s*\\?")


def can_use_c_parser(text: str) -> bool:
    """Whether both parsers read this text alike and the C parser is installed."""
    return c_parser is not None and not _YAML_1_1_ONLY.search(text)


def c_events(text: str) -> Iterator[Event]:
    """Yield the events of the C parser."""
    parser = c_parser.CParser(text)
    while parser.check_event():
        yield parser.get_event()


def python_events(text: str) -> Iterator[Event]:
    """Yield the events of the Python parser."""
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    return yaml.parse(text)  # type: ignore[no-any-return]


def diagnostic_of(error: YAMLError, text: str) -> Diagnostic:
    """Return the error of ruamel.yaml as a diagnostic of one line."""
    if isinstance(error, ReaderError):
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return Diagnostic("", line, column, f"the character #x{ord(text[error.position]):04x}"
                       " is not allowed in YAML")  # fmt: skip
    if not isinstance(error, MarkedYAMLError):
        return Diagnostic("", 1, 1, short(str(error)))
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    problem = (error.problem or error.context or "the text is not YAML").strip()
    context = f" ({error.context.strip()})" if error.problem and error.context else ""
    return Diagnostic("", line, column, _line(problem + context))


def _line(message: str) -> str:
    return " ".join(message.split())[:300]
