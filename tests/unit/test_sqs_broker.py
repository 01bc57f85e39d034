"""What is particular to Amazon SQS, without one."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator import broker_settings, sqs_broker
from orchestrator.doctor.process_checks import same_broker
from orchestrator.errors import ConfigurationError


@pytest.fixture
def boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqs_broker, "find_spec", lambda name: ModuleSpec(name, None))


@pytest.mark.usefixtures("boto3")
def test_its_settings_prefetch_little_and_ask_for_no_broadcast() -> None:
    settings = broker_settings.broker_settings("sqs://")
    assert settings["worker_prefetch_multiplier"] == 1
    assert settings["worker_enable_remote_control"] is False
    assert "task_default_queue_type" not in settings
    assert broker_settings.queue("orchestrator", "sqs://").queue_arguments is None


def test_without_boto3_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqs_broker, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"install celery\[sqs\]"):
        broker_settings.broker_settings("sqs://")


@pytest.mark.usefixtures("boto3")
def test_prefix_and_region_are_announced_and_nothing_else() -> None:
    options: dict[str, Any] = {"region": "eu-west-1", "queue_name_prefix": "prod-", "sep": ":"}
    conf = SimpleNamespace(broker_write_url="sqs://", broker_transport_options=options)
    shared = broker_settings.shared_options(SimpleNamespace(conf=conf))  # type: ignore[arg-type]
    assert shared == {"region": "eu-west-1", "queue_name_prefix": "prod-"}
    assert broker_settings.with_announced("sqs://", options) == shared
    assert "region" not in broker_settings.with_announced("redis://localhost", options)


def test_a_fifo_queue_carries_no_steps() -> None:
    assert "FIFO" in str(sqs_broker.why_refused("shop.fifo.orchestrator"))
    assert sqs_broker.why_refused("fifo.orchestrator") is None
    with pytest.raises(ConfigurationError, match=r"steps\.fifo is a FIFO queue"):
        broker_settings.queue("steps.fifo", "sqs://")


def test_a_name_that_sqs_cannot_have() -> None:
    assert sqs_broker.why_refused("q" * 75, "prod-") is None
    assert "80 characters" in str(sqs_broker.why_refused("q" * 76, "prod-"))


def test_the_doctor_knows_sqs_by_its_host() -> None:
    assert same_broker("sqs://", "sqs://key:secret@")
    assert not same_broker("sqs://", "amqp://localhost")
    assert not same_broker("sqs://", "sqs://localhost:4566")


def test_an_unknown_broker_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"sqs:// .*not kafka://"):
        broker_settings.is_redis("kafka://localhost")
