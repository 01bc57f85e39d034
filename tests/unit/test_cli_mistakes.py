"""What people get wrong on the command line: each is said in plain words, with status 2."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli import main
from orchestrator.cli.dev import local_stack
from orchestrator.errors import ConfigurationError
from tests.support.dev import CLI, environment


@pytest.fixture
def mistaken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run the command line in a folder of its own, with no API in reach."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCHESTRATOR_API_URL", "http://127.0.0.1:9")

    def run(*words: str) -> Result:
        result = CliRunner().invoke(main, words)
        assert isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == 2, result.output
        return result

    return run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list", "--limit", "-3"), "-3 is not in the range"),
        (("event", "list", "--limit", "-3"), "-3 is not in the range"),
        (("event", "watch", "--count", "-1"), "-1 is not in the range"),
        (("schedule", "ledger", "x", "--limit", "-3"), "-3 is not in the range"),
        (("schedule", "ledger", "x", "-n", "-3"), "-3 is not in the range"),
        (("list", "--since", "yesterday"), "'yesterday' is not a time"),
        (("list", "--until", "2030-13-01"), "'2030-13-01' is not a time"),
        (("list", "--since", "999999999w"), "'999999999w' is not a time"),
        (("list", "--since", "0001-01-01T00:00:00+14:00"), "is not a time"),
        (("run", "a/b", "--wait", "-5"), "-5.0 is not in the range"),
        (("run", "a/b", "-i", '{"a": NaN}'), "JSON has no NaN"),
        (("worker", "-c", "0"), "0 is not in the range"),
        (("api", "--port", "99999"), "99999 is not in the range"),
        (("dev", "--port", "99999"), "99999 is not in the range"),
        (("dev", "--workers", "-1"), "-1 is not in the range"),
        (("dev", "--data", "/proc/none"), "/proc/none: No such file or directory"),
        (("init", "/proc/none"), "/proc/none: No such file or directory"),
        (("--api-key", "ключ", "list"), "an API key is prefix.secret"),
        (("db", "current", "--database-url", "mysql://h/x"), "not by mysql://"),
    ],
    ids=" ".join,
)
def test_a_mistake_is_named(mistaken, words: tuple[str, ...], said: str):
    assert said in mistaken(*words).stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe", "input.yaml:1:1: the document is not UTF-8"),
        (b"a: 1\nb: [2\n", "input.yaml:3:1: expected ',' or ']'"),
        (b"\x00", "input.yaml:1:1: "),
    ],
)
def test_a_file_of_data_is_refused_with_its_place(mistaken, content: bytes, said: str):
    Path("input.yaml").write_bytes(content)
    assert said in mistaken("run", "a/b", "-i", "@input.yaml").stderr


def test_a_wrong_address_of_the_database_shows_no_password():
    from orchestrator.database.connection.postgres_url import for_sqlalchemy

    with pytest.raises(ConfigurationError) as refused:
        for_sqlalchemy("mysql://me:hunter2@db/x")
    assert "hunter2" not in str(refused.value)


def test_another_process_at_the_port_of_dev_is_noticed(
    mistaken, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(local_stack, "_PORT_TIMEOUT", 0.0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = mistaken("dev", "--port", str(port), "--data", str(tmp_path / "data"))
    assert f"port {port}: Address already in use" in result.stderr
    assert "--port" in result.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "broken can't be imported: ModuleNotFoundError: No module named 'broken'\n"),
        ("import os\n1 / 0\n", "broken can't be imported: ZeroDivisionError: division by zero ("),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(tmp_path: Path, text: str | None, said: str):
    if text:
        (tmp_path / "broken.py").write_text(text)
    done = subprocess.run(
        [*CLI, "worker"],
        env=environment(ORCHESTRATOR_IMPORTS="broken"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert f"ORCHESTRATOR_IMPORTS: {said}" in done.stderr
    assert "Traceback" not in done.stderr
    if text:
        assert "broken.py:2)" in done.stderr
