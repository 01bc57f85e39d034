"""Every command, without an API: it says so in plain words and exits with its status."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli import main

#: They serve, start servers or need none.
APART = {"dev", "demo", "api", "worker", "beat", "init", "db", "doctor", "validate"}


def leaves(group: click.Group, *before: str) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group) and name not in APART:
            yield from leaves(command, *before, name)
        elif name not in APART:
            yield (*before, name)


def arguments(command: click.Command) -> list[str]:
    """Something for each argument and option that must be given."""
    given: list[str] = []
    for each in command.params:
        value = "{}" if each.type.name.startswith("JSON") else "2030-01-01T00:00:00Z"
        if isinstance(each, click.Argument) and (each.required or each.nargs == -1):
            given.append("01900000-0000-7000-8000-000000000001")
        elif isinstance(each, click.Option) and each.required:
            given += [each.opts[0], value]
    return given


@pytest.mark.slow
@pytest.mark.parametrize("words", sorted(leaves(main)), ids=" ".join)
def test_without_an_api_it_says_so(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ORCHESTRATOR_API_URL", "http://127.0.0.1:9")
    command: click.Command = main
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    result = CliRunner().invoke(main, [*words, *arguments(command)], input="")
    assert isinstance(result.exception, SystemExit | None), result.exception
    # `canvas-check` needs no API, but an app that can be imported.
    allowed = (3,) if words == ("canvas-check",) else (0, 2, 5)
    assert result.exit_code in allowed, result.output
    assert "Traceback" not in result.output
    if result.exit_code:
        assert result.stderr


def test_every_command_says_what_it_is_for():
    for words in leaves(main):
        result = CliRunner().invoke(main, [*words, "--help"])
        assert result.exit_code == 0
        assert "Usage:" in result.stdout
