"""Which addresses name the same broker."""

from __future__ import annotations

import pytest

from orchestrator.broker_settings import without_password
from orchestrator.doctor.process_checks import same_broker
from orchestrator.execution.worker.heartbeat import app_argument


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("redis://localhost", "redis://127.0.0.1:6379/0"),
        ("valkey://Cache:6379/0", "redis://cache/0"),
        ("amqp://rabbit//", "pyamqp://rabbit:5672/"),
        ("amqp://rabbit/%2F", "amqp://rabbit/"),
    ],
)
def test_the_same(one: str, other: str) -> None:
    assert same_broker(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("redis://localhost/0", "redis://localhost/1"),
        ("redis://a", "redis://b"),
        ("redis://a:6379", "redis://a:6380"),
        ("redis://a", "amqp://a"),
        ("amqp://a/shop", "amqp://a/"),
        ("memory://localhost/", "redis://localhost/"),
    ],
)
def test_another(one: str, other: str) -> None:
    assert not same_broker(one, other)


def test_what_is_announced_of_a_broker_holds_no_password() -> None:
    announced = without_password("redis://user:secret@cache:6379/0?password=secret")
    assert announced == "redis://cache:6379/0"


class _App:
    main = "shop"


@pytest.mark.parametrize(
    ("argv", "app"),
    [
        (["celery", "-A", "shop.tasks", "worker"], "shop.tasks"),
        (["celery", "--app=shop.tasks:app", "worker"], "shop.tasks:app"),
        (["celery", "worker", "--app", "shop.tasks"], "shop.tasks"),
        (["python", "worker.py"], "shop"),
    ],
)
def test_how_an_apps_workers_are_started(
    argv: list[str], app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CELERY_APP", raising=False)
    assert app_argument(_App(), argv) == app
