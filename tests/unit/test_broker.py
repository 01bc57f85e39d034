"""Celery's settings by the broker's URL, and our own processes' settings."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import pytest
from celery import Celery
from kombu.exceptions import OperationalError

from orchestrator.broker_settings import broker_settings, celery_settings, is_redis, queue
from orchestrator.errors import ConfigurationError
from orchestrator.settings import Settings

ROOT = Path(__file__).parents[2]
REDIS = "redis://localhost:1/0"
RABBITMQ = "amqp://localhost:1//"


def test_on_redis_publishers_and_workers_agree() -> None:
    settings = broker_settings(REDIS)
    assert settings["worker_prefetch_multiplier"] == 1
    # With either setting, publishers and workers of different configurations would not meet.
    assert "priority_steps" not in settings["broker_transport_options"]
    assert not queue("q", REDIS).queue_arguments


def test_rabbitmq_has_quorum_queues_and_confirms() -> None:
    settings = broker_settings(RABBITMQ)
    assert settings["broker_transport_options"]["confirm_publish"] is True
    assert settings["task_default_queue_type"] == "quorum"
    arguments = queue("q", RABBITMQ).queue_arguments
    assert arguments
    assert arguments["x-queue-type"] == "quorum"
    assert arguments["x-consumer-timeout"] > 24 * 3600 * 1000


def test_valkey_has_its_own_scheme_too() -> None:
    assert is_redis("valkey://h/0")
    assert broker_settings("valkey://h/0")["broker_url"] == "redis://h/0"
    assert broker_settings("valkeys://h/0")["broker_url"] == "rediss://h/0"


@pytest.mark.parametrize("url", ["kafka://h", "sqlite://h", "memory://", "localhost"])
def test_other_brokers_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="redis://"):
        broker_settings(url)


def test_our_own_processes_accept_only_json() -> None:
    app = Celery()
    app.config_from_object(celery_settings(Settings(broker_url=REDIS)))
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == "json"
    assert app.conf.task_ignore_result
    assert not app.conf.task_acks_late
    assert not app.conf.worker_send_task_events


@pytest.mark.parametrize("url", [REDIS, RABBITMQ])
@pytest.mark.timeout(2)
def test_a_publish_without_a_broker_ends_soon(url: str) -> None:
    """A port without a listener refuses at once."""
    app = Celery()
    app.config_from_object(celery_settings(Settings(broker_url=url)))
    message = app.amqp.create_task_message("id", "task")
    with app.producer_pool.acquire(block=True, timeout=1) as producer:
        send = functools.partial(app.amqp.send_task_message, producer, "task", message)
        with pytest.raises(OperationalError, match="refused"):
            send(queue="celery", retry=False)


@pytest.mark.timeout(30)
def test_celery_reads_celeryconfig() -> None:
    argv = [sys.executable, "-m", "celery", "--config", "celeryconfig", "report"]
    env = {"ORCHESTRATOR_BROKER_URL": REDIS, "ORCHESTRATOR_DEFAULT_QUEUE": "mine"}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert "task_default_queue: 'mine'" in done.stdout
