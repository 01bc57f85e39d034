"""Creates the Celery app of the product's own processes: settings, logs, `install(app)`."""

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
    """Return the app, configured by `settings` or else by the environment.

    Raises:
        ConfigurationError: a setting is invalid.
    """
    settings = settings or load_settings()
    app = Celery("orchestrator")
    app.conf.update(celery_settings(settings))
    install(app, settings)
    remote_control.disable_commands()
    _configure_logs(settings)
    return app


def _configure_logs(settings: Settings) -> None:
    """Log in our format. Celery configures no logging if this signal has a receiver."""

    def set_up(loglevel: Any = None, **_: Any) -> None:
        level = logging.getLevelName(loglevel) if isinstance(loglevel, int) else loglevel
        log.configure(dataclasses.replace(settings, log_level=level or settings.log_level))

    signals.setup_logging.connect(set_up, weak=False, dispatch_uid="orchestrator.logs")
