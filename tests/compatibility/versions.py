"""The versions of Celery that the tests run on, and what each brings along."""

from __future__ import annotations

from dataclasses import dataclass

#: The first and the last patch releases matter most: a project has one or the other.
CELERY = ("5.3.6", "5.4.0", "5.5.3", "5.6.3", "5.7.0")

#: kombu, billiard and redis-py as a project of that time has pinned them.
OF_ITS_TIME = {
    "5.3.6": ("kombu==5.3.4", "billiard==4.2.0", "redis==5.2.0"),
    "5.4.0": ("kombu==5.3.7", "billiard==4.2.1", "redis==5.2.1"),
    "5.5.3": ("kombu==5.5.4", "billiard==4.2.1", "redis==5.2.1"),
    "5.6.3": ("kombu==5.6.2", "billiard==4.2.4", "redis==6.4.0"),
    "5.7.0": ("kombu==5.7.0", "billiard==4.3.2", "redis==7.1.0"),
}

#: Versions whose tests run on RabbitMQ too.
ON_RABBITMQ = ("5.3.6", "5.7.0")


@dataclass(frozen=True)
class Run:
    """One run of the tests: requirements, and the broker's kind."""

    celery: str
    others: tuple[str, ...] = ()
    broker: str = "redis"

    @property
    def name(self) -> str:
        """A name for its environment's folder, the same for both brokers."""
        return f"celery-{self.celery or 'newest'}{'-of-its-time' if self.others else ''}"

    @property
    def requirements(self) -> tuple[str, ...]:
        """What its environment must have; the rest is the newest that resolves."""
        return (f"celery=={self.celery}" if self.celery else "celery", *self.others)


def runs(celery: tuple[str, ...]) -> list[Run]:
    """All runs of these versions of Celery."""
    on_redis = [
        Run(version, others) for version in celery for others in (OF_ITS_TIME.get(version, ()), ())
    ]
    on_rabbitmq = [
        Run(version, OF_ITS_TIME[version], "rabbitmq")
        for version in celery
        if version in ON_RABBITMQ
    ]
    return list(dict.fromkeys(on_redis + on_rabbitmq))
