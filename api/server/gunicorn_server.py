"""The API as a server: gunicorn with threads, whose own errors are problems (RFC 9457) too.

One process works on at most `api_threads` requests at once. Waiting requests and streams are not
counted (see `api.server.request_threads`), so they block no other request.
"""

from __future__ import annotations

import gc
import importlib
import ipaddress
import logging
import os
import resource
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

#: Seconds that an unused connection stays open. It is longer than the limits of clients and
#: proxies, so that none sends a request into a connection that is being closed.
KEEPALIVE = 75
#: The most serving processes (WEB_CONCURRENCY) with counters of their own. A replacement of a
#: dead process continues the counters of the oldest.
PROCESSES = 64
#: The most connections of a serving process, and the fewest, if it may open few files; and files
#: that it opens besides.
CONNECTIONS, MIN_CONNECTIONS, OTHER_FILES = 4096, 128, 512
#: Seconds between two checks for a database that could not be reached at the start.
POLL_INTERVAL = 1.0

_log = log.get_logger(__name__)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises `ConfigurationError` if other machines could reach an API without keys, or if this
    release does not know the schema of the database.
    """
    log.configure(settings)
    keys_needed = needs_keys(settings)
    checked = require_schema(settings)
    if not keys_needed:
        _log.warning(
            "No API key is required: the API can be reached from this machine only",
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
    """Checks the schema of a database that could not be reached at the start.

    It runs in a thread of gunicorn's main process and stops the server if this release does not
    know the schema. Meanwhile the serving processes answer 503.
    """

    def __init__(self, settings: Settings) -> None:
        self.refused: ConfigurationError | None = None
        self._settings = settings
        threading.Thread(target=self._poll, name="schema", daemon=True).start()

    def _poll(self) -> None:
        while self.refused is None:
            pause(POLL_INTERVAL)
            try:
                upgrade.check(self._settings.database_url)
            except DatabaseUnavailable:
                continue
            except ConfigurationError as error:
                self.refused = error
                os.kill(os.getpid(), signal.SIGTERM)
            return


def needs_keys(settings: Settings) -> bool:
    """Whether callers need an API key: if other machines can reach the server, or a setting says
    so. Raises `ConfigurationError`."""
    local = is_loopback(settings.api_host)
    if settings.api_authentication == "off" and not local:
        raise ConfigurationError(
            "without authentication the API must bind to this machine only: set"
            " ORCHESTRATOR_API_HOST=127.0.0.1 or ORCHESTRATOR_API_AUTHENTICATION=on"
        )
    if settings.api_authentication == "off" and settings.oidc:
        raise ConfigurationError(
            "ORCHESTRATOR_OIDC logs people in, and ORCHESTRATOR_API_AUTHENTICATION=off lets"
            " everybody in: unset one of them"
        )
    return settings.api_authentication == "on" or not local or bool(settings.oidc)


def _share_memory() -> None:
    """Import the modules of the serving processes before the fork, so that they share memory.

    Connections and threads are made after the fork. A single serving process would share only
    with gunicorn's main process, which needs none of the modules.
    """
    for name in (
        "api.app",
        "api.server.gunicorn_worker",
        "orchestrator.bootstrap",
        "celery.app.amqp",
    ):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def _connections() -> int:
    """Return how many connections a process keeps, and allow it to open as many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + OTHER_FILES
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    most = CONNECTIONS if soft == resource.RLIM_INFINITY else soft - OTHER_FILES
    return max(MIN_CONNECTIONS, min(CONNECTIONS, most))


def is_loopback(host: str) -> bool:
    """Whether an address to bind to can be reached from this machine only.

    Raises `ConfigurationError` for a host name: it could be resolved to any address.
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
    """The gunicorn application that serves the API."""

    def __init__(self, settings: Settings, *, authenticate: bool, checked: bool = True) -> None:
        self._settings = settings
        self._checked = checked
        self._authenticate = authenticate
        # Keep the counters in memory that all serving processes share, so that each process can
        # show the sums.
        self._meters = Meters(PROCESSES)
        self._slot = 0
        super().__init__()

    def load_config(self) -> None:
        """Set the options that differ from gunicorn's defaults."""
        settings = self._settings
        host = f"[{settings.api_host}]" if ":" in settings.api_host else settings.api_host
        options: dict[str, Any] = {
            "bind": f"{host}:{settings.api_port}",
            "proc_name": "orchestrator api",
            "worker_class": "api.server.gunicorn_worker.Worker",
            "logger_class": Logger,
            "threads": settings.api_threads,
            "keepalive": KEEPALIVE,
            "worker_connections": _connections(),
            # Turn off gunicorn's use of the system call `sendfile`. Files then go through
            # `ClientSocket.sendall`, which limits how long an answer waits for its reader.
            "sendfile": False,
            "graceful_timeout": int(settings.shutdown_grace),
            # Accept forwarding headers, such as X-Forwarded-Proto, from no address: any client can
            # send them.
            "forwarded_allow_ips": "",
            "control_socket_disable": True,
            "post_fork": self._forked,
            # gunicorn keeps each process's sign of life in a temporary file, which it unlinks at
            # once. Put the file into memory, where touching it never waits for a disk. macOS has no
            # such folder.
            "worker_tmp_dir": "/dev/shm" if os.path.isdir("/dev/shm") else None,  # noqa: S108
        }
        for name, value in options.items():
            if name in self.cfg.settings:  # releases of gunicorn differ
                self.cfg.set(name, value)

    def _forked(self, _arbiter: Any, worker: Any) -> None:
        """Choose the counters of a new serving process. gunicorn numbers all processes from 1."""
        self._slot = (worker.age - 1) % PROCESSES

    def load(self) -> Flask:
        """Make the application in the serving process."""
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
    """Writes gunicorn's log lines in the orchestrator's format."""

    def setup(self, cfg: Any) -> None:
        """Pass all lines to the root logger. Single requests are not logged."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
        self.error_log.setLevel(logging.NOTSET)
