"""How a process of ours starts: settings, logs, Celery's app, the Task Execution Layer."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from celery import Celery, signals

from orchestrator import install, log
from orchestrator.broker_settings import celery_settings
from orchestrator.execution.worker import remote_control
from orchestrator.settings import Settings, load_settings


def create_app(settings: Settings | None = None) -> Celery:
    """The app, with everything that the environment asks for.

    Raises:
        ConfigurationError: a setting has no meaning.
    """
    chosen = settings or load_settings()
    app = Celery("orchestrator")
    app.conf.update(celery_settings(chosen))
    install(app, chosen)
    remote_control.disable_commands()
    _configure_logs(chosen)
    return app


def _configure_logs(settings: Settings) -> None:
    """Log lines take our form: with a receiver of this signal Celery sets nothing up."""

    def set_up(loglevel: Any = None, **_: Any) -> None:
        level = logging.getLevelName(loglevel) if isinstance(loglevel, int) else loglevel
        log.configure(dataclasses.replace(settings, log_level=level or settings.log_level))

    signals.setup_logging.connect(set_up, weak=False, dispatch_uid="orchestrator.logs")
