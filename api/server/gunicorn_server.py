"""The API as a server: gunicorn with threads, each of its own answers a problem too.

One process works on as many requests at once as `api_threads` says. Those that wait for an
instance, and streams, are not counted (see `api.server.request_threads`): they starve nobody.
"""

from __future__ import annotations

import gc
import importlib
import ipaddress
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import gunicorn.app.base  # type: ignore[import-untyped]
import gunicorn.glogging  # type: ignore[import-untyped]

from orchestrator import log
from orchestrator.database.connection.notification_listener import pause
from orchestrator.database.schema import upgrade
from orchestrator.database.schema.upgrade import require_schema
from orchestrator.errors import ConfigurationError, DatabaseUnavailable
from orchestrator.metrics import Meters
from orchestrator.settings import Settings

if TYPE_CHECKING:
    from flask import Flask

#: Seconds that an unused connection stays open. Longer than clients and proxies keep theirs,
#: so that none sends a request into a connection that is being closed.
KEEPALIVE = 75
#: Serving processes that count apart from one another (WEB_CONCURRENCY); one that begins in
#: place of one that died goes on with the numbers of the oldest.
PROCESSES = 64
#: How often to look for a database that was away at the start, in s.
LOOK = 1.0

_log = log.get_logger(__name__)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises `ConfigurationError` where other machines could reach an API that asks for no key,
    and where the database has no schema that this release knows.
    """
    log.configure(settings)
    keys_needed = needs_keys(settings)
    checked = require_schema(settings)
    if not keys_needed:
        _log.warning(
            "Nobody needs an API key: the API can be reached from this machine only",
            action="authentication_off",
            host=settings.api_host,
        )
    server = Server(settings, authenticate=keys_needed, checked=checked)
    if server.cfg.workers > 1:
        _share_memory()
    watch = None if checked else SchemaWatch(settings)
    try:
        server.run()
    finally:
        if watch is not None and watch.refused is not None:
            raise watch.refused


class SchemaWatch:
    """Looks for the schema of a database that was away, beside what watches over the serving
    processes, and ends that where it is none for us. Those answer 503 from the first
    connection on."""

    def __init__(self, settings: Settings) -> None:
        self.refused: ConfigurationError | None = None
        self._settings = settings
        threading.Thread(target=self._look, name="schema", daemon=True).start()

    def _look(self) -> None:
        while self.refused is None:
            pause(LOOK)
            try:
                upgrade.check(self._settings.database_url)
            except DatabaseUnavailable:
                continue
            except ConfigurationError as error:
                self.refused = error
                os.kill(os.getpid(), signal.SIGTERM)
            return


def needs_keys(settings: Settings) -> bool:
    """Whether callers need an API key: where the server can be reached from other machines,
    and where the settings say so. Raises `ConfigurationError`."""
    local = is_loopback(settings.api_host)
    if settings.api_authentication == "off" and not local:
        raise ConfigurationError(
            "without authentication the API binds to this machine only: set"
            " ORCHESTRATOR_API_HOST=127.0.0.1 or ORCHESTRATOR_API_AUTHENTICATION=on"
        )
    return settings.api_authentication == "on" or not local


def _share_memory() -> None:
    """Load what serving processes need before they are forked, so that they share those pages.
    What is opened and started is made after the fork. A single one would share them only with
    the process that watches over it, which needs none of it and is small without."""
    for name in (
        "api.app",
        "api.server.gunicorn_worker",
        "orchestrator.bootstrap",
        "celery.app.amqp",
    ):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def is_loopback(host: str) -> bool:
    """Whether an address to bind to can be reached from this machine only.

    Raises `ConfigurationError` where it is a name: what that means is not ours to say.
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise ConfigurationError(
            f"the API binds to an address, such as 127.0.0.1 or 0.0.0.0, not to {host!r}"
        ) from None


class Server(gunicorn.app.base.BaseApplication):  # type: ignore[misc]  # it has no types
    """gunicorn, set up for the API."""

    def __init__(self, settings: Settings, *, authenticate: bool, checked: bool = True) -> None:
        self._settings = settings
        self._checked = checked
        self._authenticate = authenticate
        # What the serving processes count: each shows what all of them have.
        self._meters = Meters(PROCESSES)
        self._slot = 0
        super().__init__()

    def load_config(self) -> None:
        """What gunicorn must do otherwise than it would."""
        settings = self._settings
        host = f"[{settings.api_host}]" if ":" in settings.api_host else settings.api_host
        chosen: dict[str, Any] = {
            "bind": f"{host}:{settings.api_port}",
            "proc_name": "orchestrator api",
            "worker_class": "api.server.gunicorn_worker.Worker",
            "logger_class": Logger,
            "threads": settings.api_threads,
            "keepalive": KEEPALIVE,
            "graceful_timeout": int(settings.shutdown_grace),
            # No proxy is believed what it says about the client.
            "forwarded_allow_ips": "",
            "control_socket_disable": True,
            "post_fork": self._forked,
            "worker_tmp_dir": "/dev/shm",  # noqa: S108  a heartbeat's file, unlinked at once
        }
        for name, value in chosen.items():
            if name in self.cfg.settings:  # releases of gunicorn differ
                self.cfg.set(name, value)

    def _forked(self, _arbiter: Any, worker: Any) -> None:
        """A serving process begins; gunicorn numbers them from 1, those that have ended too."""
        self._slot = (worker.age - 1) % PROCESSES

    def load(self) -> Flask:
        """The application, made in the process that serves it."""
        from celery import Celery

        from api.app import create_app
        from orchestrator import bootstrap
        from orchestrator.broker_settings import celery_settings

        celery = Celery("orchestrator-api", set_as_current=False)
        celery.conf.update(celery_settings(self._settings))
        meter = self._meters.meter(self._slot)
        services = bootstrap.services(self._settings, celery, meter, checked=self._checked)
        return create_app(services, authenticate=self._authenticate, series=self._meters.read)


class Logger(gunicorn.glogging.Logger):  # type: ignore[misc]  # it has no types
    """gunicorn's log lines in the form of ours."""

    def setup(self, cfg: Any) -> None:
        """Leave everything to the root logger; requests are not logged one by one."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
        self.error_log.setLevel(logging.NOTSET)
