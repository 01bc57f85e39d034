"""Every command that the documentation names is one, and what is not run says why."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from orchestrator.cli import main
from tests.support.documented_commands import ROOT, blocks, pages

NAMED = re.compile(r"`orchestrator ([a-z][a-z-]*)((?: [a-z][a-z-]*)?)")


def named() -> Iterator[tuple[str, str, str]]:
    for file in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for found in NAMED.finditer(file.read_text()):
            yield str(file.relative_to(ROOT)), found[1], found[2].strip()


def rows() -> Iterator[tuple[str, list[str]]]:
    """The commands in the tables of the command line's own page, with their options."""
    text = (ROOT / "docs/interfaces/command_line.md").read_text()
    for line in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE):
        for code in re.findall(r"`([a-z][^`]*)`", line):
            yield code.replace("\\|", "|"), re.findall(r"--[a-z-]+", code)


def command(*words: str) -> click.Command | None:
    found: click.Command | None = main
    for word in words:
        if not isinstance(found, click.Group):
            return None
        found = found.get_command(click.Context(found), word)
    return found


def test_every_command_that_is_named_is_there():
    missing = []
    for page, first, second in named():
        found = command(first)
        if found is None or (
            isinstance(found, click.Group) and second and not command(first, second)
        ):
            missing.append(f"{page}: orchestrator {first} {second}")
    assert not missing


def test_every_option_in_the_tables_is_there():
    missing = []
    for code, options in rows():
        words = [word for word in code.split() if re.fullmatch(r"[a-z][a-z-]*", word)]
        found = command(*words[:2]) or command(*words[:1])
        if found is None or not options:
            continue
        known = {option for each in found.params for option in each.opts}
        missing += [f"{code}: {option}" for option in options if option not in known]
    assert not missing


@pytest.mark.parametrize("page", pages())
def test_what_is_not_run_says_why(page: str):
    for block in blocks(ROOT / page, "sh"):
        known = block.is_run or len(block.note.partition("not run: ")[2]) > 10
        assert known, f"{page}:{block.line} gives no reason"
