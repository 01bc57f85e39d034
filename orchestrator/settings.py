"""All settings, each with its default and its reason. A process reads them once, at its start.

The value of a field comes from the environment variable ``ORCHESTRATOR_`` + its name in capitals.
The same variable with ``_FILE`` at its end names a file with the value instead (for secrets that
Docker or Kubernetes mounts). A command-line flag replaces the field afterwards, by
`dataclasses.replace`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_type_hints

from environs import EnvValidationError, FileAwareEnv
from marshmallow import ValidationError
from marshmallow.validate import Length, OneOf, Range

from orchestrator.errors import ConfigurationError

PREFIX = "ORCHESTRATOR_"
#: Endings of the name of a setting's variable: ``_FILE`` names a file with the value.
_SUFFIXES = ("", "_FILE")
#: A former setting that is still read: its values are entries of `outbound_allow`.
_FORMER = "OUTBOUND_RESOLVE"
#: Smallest similarity (0 to 1) at which an unknown variable is taken for a misspelt setting. All
#: names share the prefix, so that two different settings are similar too.
_MIN_SIMILARITY = 0.9


def _checked(default: Any, *checks: Callable[[Any], Any]) -> Any:
    """A field whose value must pass every check (marshmallow validators)."""
    return field(default=default, metadata={"validate": checks})


def _secret(default: str | None) -> Any:
    """A field that may contain a password: no repr, log or traceback shows it."""
    return field(default=default, repr=False)


def _is_web_address(value: str | None) -> None:
    """Check that a value, if set, is the URL of a web page without a query."""
    if value is not None and not re.fullmatch(r"https?://[^/?#\s@]+(/[^?#\s%]*)?", value):
        raise ValidationError("Must be an address such as https://example.com/workflows.")


def _is_address(value: str | None) -> None:
    """Check that a value, if set, is ``host:port``; raise `ValidationError` otherwise."""
    if value is not None and parse_address(value) is None:
        raise ValidationError("Must be an address and a port, such as 0.0.0.0:9808.")


def parse_address(value: str) -> tuple[str, int] | None:
    """Return host and port of ``host:port`` or ``[host]:port``; None for any other text."""
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        return None
    return host.removeprefix("[").removesuffix("]"), int(port)


_POSITIVE = Range(min=0, min_inclusive=False)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of an installation. Durations are in seconds, sizes in bytes."""

    #: The database with all state: any libpq URL. PgBouncer in transaction mode works too.
    database_url: str = _secret("postgresql://localhost:5432/orchestrator")
    #: The same database without a pooler, for LISTEN. Empty: `database_url`.
    database_direct_url: str | None = _secret(None)
    #: Largest number of connections of one process.
    database_pool: int = _checked(5, Range(min=1, max=1000))

    #: The message broker: ``redis://`` (Valkey too), ``amqp://`` (RabbitMQ) or ``sqs://``.
    broker_url: str = _secret("redis://localhost:6379/0")
    #: The queue of the messages that ask workers to continue instances. Tasks of workflows never go
    #: there.
    control_queue: str = _checked("orchestrator", Length(min=1, max=255))
    #: The queue of steps for which neither the document nor a worker's announcement of its app's
    #: routes names a queue.
    default_queue: str = _checked("celery", Length(min=1, max=255))
    #: Whether workers serve the control queue besides their own queues. Switch it off where
    #: separate workers serve the control queue, so that long tasks cannot delay it.
    serve_control: bool = True
    #: Modules with Celery tasks that `orchestrator worker` imports, separated by commas.
    imports: tuple[str, ...] = ()
    #: Whether workers take only steps and our own messages. They leave the ordinary messages of
    #: their queues to other workers.
    steps_only: bool = False

    #: How long a worker without a heartbeat keeps its claimed attempts.
    lease: float = _checked(10.0, Range(min=1, max=3600))
    #: How long newer attempts of its queue may be claimed before an attempt, until its message
    #: counts as lost and is published again.
    republish_after: float = _checked(15.0, _POSITIVE)
    #: How long a worker may continue with the next steps of an instance in the same process,
    #: without messages. 0: never.
    continuation_budget: float = _checked(0.1, Range(min=0, max=60))
    #: How long a stopping worker waits for its running steps.
    shutdown_grace: float = _checked(30.0, Range(min=0))

    #: The largest input, output, context, event or request, and the largest value that an
    #: expression may produce.
    max_payload: int = _checked(1 << 20, Range(min=1024, max=64 << 20))
    #: Whether a workflow may run workflows of another namespace. These use the secrets of their own
    #: namespace: allow it only where all who deploy may see every namespace.
    run_across_namespaces: bool = False
    #: How long events are stored. An event that an instance or a schedule still needs is stored
    #: longer.
    event_retention: float = _checked(7 * 86400.0, _POSITIVE)
    #: How long instances are stored after their end; 0: for ever. Beats move older instances to
    #: `archive_dir`; without that setting nothing is removed.
    instance_retention: float = _checked(0.0, Range(min=0))
    #: The folder to which beats move old instances: files of JSON lines, one for each instance.
    archive_dir: str | None = None
    #: The shortest interval of a schedule by `every` or `after`. A schedule with a shorter one
    #: fires at this interval, and its deployment prints a warning.
    shortest_interval: float = _checked(1.0, Range(min=0.001, max=86400))

    #: The address that the API binds to.
    api_host: str = "127.0.0.1"
    #: The port that the API binds to; 0 takes a free one.
    api_port: int = _checked(8233, Range(min=0, max=65535))
    #: Whether callers need an API key: ``on``, ``off`` (allowed on loopback only), or ``auto``: on
    #: if other machines can reach the API, or people log in at an identity provider.
    api_authentication: str = _checked("auto", OneOf(("auto", "on", "off")))
    #: Requests that one API process works on at a time, without those that only wait for an
    #: instance.
    api_threads: int = _checked(16, Range(min=1, max=1000))
    #: The address of the API, for the command line and the client.
    api_url: str = "http://127.0.0.1:8233"
    #: The address at which browsers find the API and the console, if it is another one, such as
    #: ``https://example.com/workflows`` of a proxy. It decides the path and the cookies of the
    #: console, not headers of requests. Without authentication the API answers to this host name
    #: and to those of this machine only; a request with another name gets 400.
    public_url: str | None = _checked(None, _is_web_address)
    #: The identity provider (OpenID Connect) at which people log in to the console: a JSON
    #: document, or the path of a file with one. It needs `public_url`; see [oidc.md](oidc.md).
    oidc: str | None = _secret(None)
    #: The address of Flower. The API links each attempt to its page there; empty: no links.
    flower_url: str | None = None
    #: The API key that the command line and the client send.
    api_key: str | None = _secret(None)

    #: The namespaces whose workflows may run shell commands on the workers (``*``: all).
    run_shell: tuple[str, ...] = ()
    #: The namespaces whose workflows may run scripts in Python and JavaScript on the workers
    #: (``*``: all).
    run_script: tuple[str, ...] = ()
    #: The least isolation from its machine that a shell command or a script runs with:
    #: ``namespaces`` (bubblewrap), ``uid``, ``process`` or ``none``. A worker uses the best that
    #: its machine has.
    run_isolation: str = _checked("namespaces", OneOf(("namespaces", "uid", "process", "none")))

    #: A folder of secrets for workflows: ``namespace/name``, or ``name`` for all namespaces.
    secrets_dir: str | None = None
    #: The keys that encrypt the secrets in the database: Fernet keys. The first one encrypts, all
    #: of them decrypt.
    secrets_key: tuple[str, ...] = field(default=(), repr=False)

    #: Private networks that outgoing calls may reach (``10.1.0.0/16,127.0.0.0/8``), and fixed
    #: addresses of hosts (``host:port:address``, as in curl's --resolve).
    outbound_allow: tuple[str, ...] = ()
    #: A file of certificates that outgoing calls trust in addition to the system's.
    outbound_ca: str | None = None

    #: Whether `/metrics` of the API can be read without a key.
    metrics_without_key: bool = False
    #: The address at which workers and beats serve `/livez`, `/readyz` and `/metrics`, without a
    #: key, for example ``0.0.0.0:9808``. Empty: not at all. Each process of a machine needs its own
    #: port.
    probe_address: str | None = _checked(None, _is_address)
    #: The lowest severity of log lines that are written.
    log_level: str = _checked("INFO", OneOf(("DEBUG", "INFO", "WARNING", "ERROR")))
    #: The format of log lines: ``auto`` is text on a terminal and JSON elsewhere.
    log_format: str = _checked("auto", OneOf(("auto", "text", "json")))

    @property
    def direct_url(self) -> str:
        """A URL that reaches Postgres itself, for LISTEN."""
        return self.database_direct_url or self.database_url

    def allows_process(self, kind: str, namespace: str) -> bool:
        """Whether the workflows of a namespace may run a ``shell`` command or a ``script``."""
        allowed = {"shell": self.run_shell, "script": self.run_script}[kind]
        return namespace in allowed or "*" in allowed


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


class _Environment(FileAwareEnv):
    """environs, reading a mapping instead of the process's environment."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(eager=False, prefix=PREFIX, strip_whitespace=True)
        self._variables = variables

    def _get_value(self, env_key: str, default: Any) -> Any:
        path = self._variables.get(env_key + self.file_suffix)
        if path:
            return _contents(env_key + self.file_suffix, path)
        # Treat an empty variable as if it were not set: compose files and CI systems cannot remove
        # a variable.
        return self._variables.get(env_key) or default


def _contents(variable: str, path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{variable}: cannot read {path}: {error}") from error


def load_settings(env: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `env`, by default the process's environment.

    Raises:
        ConfigurationError: names every variable with an invalid value, and the reason.
    """
    reader = _Environment(os.environ if env is None else env)
    parsers: dict[Any, Callable[..., Any]] = {
        str: reader.str,
        str | None: reader.str,
        int: reader.int,
        float: reader.float,
        bool: reader.bool,
        tuple[str, ...]: reader.list,
    }
    hints = get_type_hints(Settings)
    values = {
        each.name: parsers[hints[each.name]](
            each.name.upper(), each.default, validate=each.metadata.get("validate")
        )
        for each in fields(Settings)
    }
    former: list[str] = reader.list(_FORMER, [])
    try:
        reader.seal()
    except EnvValidationError as error:
        raise ConfigurationError(_sentence(error)) from error
    values["outbound_allow"] = [*values["outbound_allow"], *former]
    return Settings(**{name: _frozen(value) for name, value in values.items()})


def misspelt(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the misspelt variables of `env`, each with the setting that is probably meant."""
    variables = os.environ if env is None else env
    known = {
        f"{PREFIX}{each.name.upper()}{suffix}" for each in fields(Settings) for suffix in _SUFFIXES
    }
    known |= {PREFIX + _FORMER + suffix for suffix in _SUFFIXES}
    strange = [name for name in variables if name.startswith(PREFIX) and name not in known]
    if not strange:
        return {}
    # Import difflib only here: every process loads this module, but few have a misspelt variable.
    from difflib import get_close_matches

    similar = {
        name: get_close_matches(name, sorted(known), n=1, cutoff=_MIN_SIMILARITY)
        for name in strange
    }
    return {name: matches[0] for name, matches in similar.items() if matches}


def _frozen(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return tuple(part.strip() for part in value if part.strip())


def _sentence(error: EnvValidationError) -> str:
    wrong = error.error_messages if isinstance(error.error_messages, dict) else {}
    return "; ".join(f"{name}: {' '.join(map(str, why))}" for name, why in wrong.items())
