"""Settings: from the environment or from files, checked, and silent about secrets."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from orchestrator.errors import ConfigurationError
from orchestrator.settings import Settings, load_settings, misspelt

SOURCE = Path(__file__).parents[2] / "orchestrator" / "settings.py"


def test_defaults_need_no_environment() -> None:
    assert load_settings({}) == Settings()


def test_each_kind_of_value() -> None:
    settings = load_settings(
        {
            "ORCHESTRATOR_DATABASE_URL": "postgresql://db/x",
            "ORCHESTRATOR_LEASE": "2.5",
            "ORCHESTRATOR_API_PORT": "0",
            "ORCHESTRATOR_SERVE_CONTROL": "false",
            "ORCHESTRATOR_IMPORTS": "shop.tasks, shop.more,",
        }
    )
    assert settings.database_url == settings.direct_url == "postgresql://db/x"
    assert settings.lease == 2.5
    assert settings.api_port == 0
    assert settings.serve_control is False
    assert settings.imports == ("shop.tasks", "shop.more")


def test_the_process_s_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_CONTROL_QUEUE", "control")
    assert load_settings().control_queue == "control"
    assert load_settings({}).control_queue == "orchestrator"


def test_an_empty_variable_is_an_unset_one() -> None:
    assert load_settings({"ORCHESTRATOR_LEASE": "", "ORCHESTRATOR_API_KEY": ""}) == Settings()


def test_a_secret_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("abc.def\n")
    settings = load_settings({"ORCHESTRATOR_API_KEY_FILE": str(tmp_path / "key")})
    assert settings.api_key == "abc.def"
    with pytest.raises(ConfigurationError, match="ORCHESTRATOR_API_KEY_FILE: cannot read"):
        load_settings({"ORCHESTRATOR_API_KEY_FILE": str(tmp_path / "nothing")})


def test_every_wrong_value_is_named() -> None:
    wrong = {
        "ORCHESTRATOR_LEASE": "soon",
        "ORCHESTRATOR_API_PORT": "70000",
        "ORCHESTRATOR_LOG_FORMAT": "xml",
        "ORCHESTRATOR_SERVE_CONTROL": "maybe",
    }
    with pytest.raises(ConfigurationError) as caught:
        load_settings(wrong)
    assert all(name in str(caught.value) for name in wrong)


def test_secrets_do_not_show() -> None:
    settings = Settings(
        database_url="postgresql://u:hidden@h/d",
        database_direct_url="postgresql://u:hidden@h/d",
        broker_url="redis://:hidden@h/0",
        api_key="hidden",
    )
    assert "hidden" not in repr(settings)


def test_every_setting_has_its_reason_and_there_are_few() -> None:
    names = [field.name for field in dataclasses.fields(Settings)]
    assert len(names) < 45
    field = re.compile(r"^    #: .*\n(?:    #: .*\n)*    (\w+):", re.MULTILINE)
    documented = field.findall(SOURCE.read_text())
    assert documented == names


def test_settings_can_not_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().lease = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ORCHESTRATOR_DATABSE_URL", "ORCHESTRATOR_DATABASE_URL"),
        ("ORCHESTRATOR_LEASES", "ORCHESTRATOR_LEASE"),
        ("ORCHESTRATOR_API_HOSTT_FILE", "ORCHESTRATOR_API_HOST_FILE"),
        ("ORCHESTRATOR_LEASE", None),
        ("ORCHESTRATOR_SECRETS_KEY_FILE", None),
        ("ORCHESTRATOR_TEAM", None),
        ("LEASES", None),
    ],
)
def test_a_variable_that_is_nearly_a_setting_is_found(name: str, meant: str | None) -> None:
    assert misspelt({name: "1"}) == ({name: meant} if meant else {})


def test_there_are_few_enough_to_be_read() -> None:
    assert len(dataclasses.fields(Settings)) < 40


def test_the_former_name_of_fixed_addresses_is_read() -> None:
    environment = {
        "ORCHESTRATOR_OUTBOUND_ALLOW": "10.0.0.0/8",
        "ORCHESTRATOR_OUTBOUND_RESOLVE": "a.example:80:127.0.0.1, b.example:443:127.0.0.1",
    }
    allowed = load_settings(environment).outbound_allow
    assert allowed == ("10.0.0.0/8", "a.example:80:127.0.0.1", "b.example:443:127.0.0.1")
    assert misspelt(environment) == {}
