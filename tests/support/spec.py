"""The specification's conformance kit and other runtimes' cases, if they are present.

They are searched in the folders of ORCHESTRATOR_SPEC and ORCHESTRATOR_CASES, by default beside the
project. `missing` says why a test that needs them is skipped.
"""

from __future__ import annotations

import json
import os
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

PROJECT = Path(__file__).resolve().parents[2]
SPEC = Path(os.environ.get("ORCHESTRATOR_SPEC", PROJECT / "../shared/spec"))
CASES = Path(os.environ.get("ORCHESTRATOR_CASES", PROJECT / "../shared/cases"))


def missing(folder: Path, name: str) -> str | None:
    """Why the tests that need this folder are skipped, or None."""
    if folder.is_dir():
        return None
    return f"{folder} is not there; {name} names where it is"


def yaml(text: str) -> Any:
    """YAML 1.2."""
    return YAML(typ="safe", pure=True).load(text)


@dataclass
class Scenario:
    """One scenario of the conformance kit."""

    name: str
    document: str
    input: Any = None
    then: list[tuple[str, Any]] = field(default_factory=list)


_STEP = re.compile(r"^\s*(Given|When|Then|And)\s+(.*?)\s*$")


def scenarios() -> Iterator[Scenario]:
    """Every scenario of every feature file."""
    for path in sorted((SPEC / "ctk").glob("*.feature")):
        for part in re.split(r"^\s*Scenario:", path.read_text(), flags=re.MULTILINE)[1:]:
            title, _, body = part.partition("\n")
            yield _scenario(f"{path.stem}: {title.strip()}", body)


def _scenario(name: str, body: str) -> Scenario:
    found = Scenario(name, "")
    for text, block in _steps(body):
        if text.startswith("a workflow with definition"):
            found.document = block or ""
        elif "the workflow input is" in text:
            found.input = yaml(block or "")
        elif not text.startswith("the workflow is executed"):
            found.then.append((text, None if block is None else yaml(block)))
    return found


def _steps(body: str) -> Iterator[tuple[str, str | None]]:
    lines = body.splitlines()
    at = 0
    while at < len(lines):
        step = _STEP.match(lines[at])
        at += 1
        if step is None:
            continue
        block = None
        if at < len(lines) and lines[at].strip().startswith('"""'):
            end = next(i for i in range(at + 1, len(lines)) if lines[i].strip() == '"""')
            block = textwrap.dedent("\n".join(lines[at + 1 : end]))
            at = end + 1
        yield step.group(2), block


def check(then: str, value: Any, *, status: str, output: Any, error: Any, order: list[str]) -> None:
    """Hold one expectation of a scenario against how an instance ended."""
    quoted = re.findall(r"'([^']*)'", then)
    if then.startswith("the workflow should complete"):
        assert status == "completed", error
        assert value is None or output == value
    elif then.startswith("the workflow should fault"):
        assert status == "faulted"
        assert value is None or {name: error.get(name) for name in value} == value
    elif then.startswith("the workflow output should have properties"):
        for path in quoted:
            look(output, path.split("."))
    elif match := re.search(r"property containing (\d+) items", then):
        assert len(look(output, quoted[0].split("."))) == int(match.group(1))
    elif "property with value" in then:
        assert look(output, quoted[0].split(".")) == value
    elif match := re.match(r"(\S+) should run (first|last)$", then):
        assert order[0 if match.group(2) == "first" else -1] == match.group(1)
    elif match := re.match(r"(\S+) should run after (\S+)$", then):
        assert order.index(match.group(1)) == order.index(match.group(2)) + 1
    else:
        raise AssertionError(f"not understood: {then}")


def look(value: Any, path: list[Any]) -> Any:
    """What stands at a path; fails where nothing does."""
    for part in path:
        assert part in value if isinstance(value, dict) else len(value) > part, path
        value = value[part]
    return value


def cases() -> Iterator[dict[str, Any]]:
    """The cases taken from other runtimes' own suites; see their README."""
    for line in (CASES / "cases.jsonl").read_text().splitlines():
        yield json.loads(line)


def case_document(case: dict[str, Any], file: str | None = None) -> str:
    """A case's document (or another one that it names), its placeholders filled in."""
    text = (CASES / "documents" / (file or case["file"])).read_text()
    for name, value in (case.get("placeholders") or {}).items():
        text = text.replace(name, str(value))
    return text


def check_case(case: dict[str, Any], *, status: str, output: Any, error: Any) -> None:
    """Hold a case's expectation against how an instance ended."""
    expect = case["expect"]
    right = {expect["status"], *_listed(expect.get("alt_status"))}
    assert status in right, f"{status}, not {right}: {error}"
    if status != expect["status"]:
        return
    if expect.get("output") is not None:
        assert output == expect["output"]
    for one in expect.get("asserts") or ():
        _assert(output, one)
    for name, value in (expect.get("error") or {}).items():
        _assert_error(error or {}, name, value)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _assert(output: Any, one: dict[str, Any]) -> None:
    value = look(output, one["path"]) if one["path"] else output
    if "equals" in one:
        assert value == one["equals"], one
    if "contains" in one:
        assert one["contains"] in value, one
    if "length" in one:
        assert len(value) == one["length"], one


def _assert_error(error: dict[str, Any], name: str, value: Any) -> None:
    if name == "type_endswith":
        assert str(error.get("type")).endswith(value), error
    elif name == "detail_contains":
        assert value in str(error.get("detail")), error
    elif name == "type" and "/errors/" in value:
        assert str(error.get("type")).rsplit("/", 1)[-1] == value.rsplit("/", 1)[-1], error
    else:
        assert error.get(name) == value, error
