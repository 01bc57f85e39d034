"""All settings, each with its default and its reason; read once, where a process starts.

Every field is read from the environment variable ``ORCHESTRATOR_`` + its name in capitals,
or from the file that the same variable with ``_FILE`` at its end names (for secrets that
an orchestrating platform mounts). A command-line flag replaces the field afterwards, by
`dataclasses.replace`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_type_hints

from environs import EnvValidationError, FileAwareEnv
from marshmallow import ValidationError
from marshmallow.validate import Length, OneOf, Range

from orchestrator.errors import ConfigurationError

PREFIX = "ORCHESTRATOR_"
#: What the name of a setting's variable may end with: the other one names a file.
_ENDS = ("", "_FILE")
#: How alike two names of variables are of which one must be meant by the other. They have their
#: beginning in common.
_NEAR = 0.9


def _checked(default: Any, *checks: Callable[[Any], Any]) -> Any:
    """A field whose value must pass every check (marshmallow validators)."""
    return field(default=default, metadata={"validate": checks})


def _secret(default: str | None) -> Any:
    """A field that may hold a password: it never shows in a repr, a log or a traceback."""
    return field(default=default, repr=False)


def _is_address(value: str | None) -> None:
    """A check of ``host:port``, where there is one."""
    if value is not None and address(value) is None:
        raise ValidationError("Must be an address and a port, such as 0.0.0.0:9808.")


def address(value: str) -> tuple[str, int] | None:
    """Host and port of ``host:port`` or ``[host]:port``; None: it is no such thing."""
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        return None
    return host.removeprefix("[").removesuffix("]"), int(port)


_POSITIVE = Range(min=0, min_inclusive=False)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an installation can choose. Durations are seconds, sizes are bytes."""

    #: Where the state lives: any libpq URL; PgBouncer in transaction mode will do.
    database_url: str = _secret("postgresql://localhost:5432/orchestrator")
    #: The same database without a pooler, for LISTEN; empty: `database_url` serves.
    database_direct_url: str | None = _secret(None)
    #: Connections that one process keeps at most.
    database_pool: int = _checked(5, Range(min=1, max=1000))

    #: The message broker: ``redis://`` (Valkey too) or ``amqp://`` (RabbitMQ).
    broker_url: str = _secret("redis://localhost:6379/0")
    #: How long a publish may take before it is left to publishing again.
    publish_timeout: float = _checked(1.0, _POSITIVE)
    #: The queue of starts and stimuli; tasks never go there.
    control_queue: str = _checked("orchestrator", Length(min=1, max=255))
    #: The queue of steps that neither their document nor Celery's routes send elsewhere.
    default_queue: str = _checked("celery", Length(min=1, max=255))
    #: Whether workers serve the control queue besides their own. Off where control has
    #: workers of its own, so that long tasks can't delay it.
    serve_control: bool = True
    #: Modules with Celery tasks that `orchestrator worker` imports, separated by commas.
    imports: tuple[str, ...] = ()
    #: Refuse every message that is not a step's or our own.
    steps_only: bool = False

    #: How long a silent worker keeps what it claimed.
    lease: float = _checked(10.0, Range(min=1, max=3600))
    #: How long an unclaimed attempt may be overtaken before its message counts as lost.
    republish_after: float = _checked(15.0, _POSITIVE)
    #: Time that a worker may go on with the steps it made ready, a chain; 0 turns that off.
    continuation_budget: float = _checked(0.1, Range(min=0, max=60))
    #: How long a stopping worker lets its running steps end.
    grace: float = _checked(30.0, Range(min=0))

    #: The largest input, output, context, event or request, also of what expressions make.
    max_payload: int = _checked(1 << 20, Range(min=1024, max=64 << 20))
    #: The largest number of steps of one instance: an endless loop ends here.
    max_steps: int = _checked(1_000_000, Range(min=1, max=1_000_000_000))
    #: Whether a workflow may run another namespace's workflows, with the secrets of those: only
    #: where everybody who may deploy may see every namespace.
    run_across_namespaces: bool = False
    #: How long events are kept; those that somebody still waits for are kept longer.
    event_retention: float = _checked(7 * 86400.0, _POSITIVE)
    #: How long before a `listen` task the broadcast events may be that it takes, too. Events
    #: from before its instance was started never count.
    event_look_back: float = _checked(5.0, Range(min=0))
    #: How long instances are kept after their end; 0: for ever. Those that are older go to
    #: `archive_dir`, and stay where that is not set.
    instance_retention: float = _checked(0.0, Range(min=0))
    #: The folder that beats archive old instances in: files of JSON lines, one an instance.
    archive_dir: str | None = None
    #: The shortest pause of a schedule by `every` or `after`; one that asks for less fires so
    #: often, and deploys with a warning.
    shortest_interval: float = _checked(1.0, Range(min=0.001, max=86400))
    #: CPU time that one expression may take.
    expression_cpu: float = _checked(0.8, _POSITIVE)

    #: The address that the API binds to.
    api_host: str = "127.0.0.1"
    #: The port that the API binds to; 0 takes a free one.
    api_port: int = _checked(8233, Range(min=0, max=65535))
    #: Whether callers need an API key: ``on``, ``off`` (on this machine only), or ``auto``: where
    #: other machines can reach the API.
    api_authentication: str = _checked("auto", OneOf(("auto", "on", "off")))
    #: The names that the API answers to (``api.example.com``, ``.example.com``); others are a
    #: 400. Empty: any, or those of this machine where nobody needs a key.
    api_hosts: tuple[str, ...] = ()
    #: Requests that one API process works on at a time; those that wait are not counted.
    api_threads: int = _checked(16, Range(min=1, max=1000))
    #: Requests a second that each API key may make in the long run; 0: any number.
    api_rate_limit: float = _checked(1000.0, Range(min=0))
    #: Where the command line and the client find the API.
    api_url: str = "http://127.0.0.1:8233"
    #: Where people find Flower: the API links each attempt to its page there. Empty: no links.
    flower_url: str | None = None
    #: The key that the command line and the client show to the API.
    api_key: str | None = _secret(None)

    #: A folder of secrets for workflows: ``namespace/name``, or ``name`` for all namespaces.
    secrets_dir: str | None = None
    #: What seals the secrets that the API takes: Fernet keys, the one that seals first.
    secrets_key: tuple[str, ...] = field(default=(), repr=False)

    #: Private networks that outgoing calls may reach (``10.1.0.0/16,127.0.0.0/8``).
    outbound_allow: tuple[str, ...] = ()
    #: Fixed addresses of hosts for outgoing calls (``host:port:address``, as curl has it).
    outbound_resolve: tuple[str, ...] = ()
    #: A file of certificates that outgoing calls trust besides the system's.
    outbound_ca: str | None = None

    #: Whether `/metrics` of the API can be read without a key.
    metrics_open: bool = False
    #: Where workers and beats serve `/livez`, `/readyz` and `/metrics`, without a key:
    #: ``0.0.0.0:9808``, say. Empty: nowhere. Each process needs a port of its own.
    probe_address: str | None = _checked(None, _is_address)
    #: The least severe log line that is written.
    log_level: str = _checked("INFO", OneOf(("DEBUG", "INFO", "WARNING", "ERROR")))
    #: How log lines look: ``auto`` is text on a terminal and JSON elsewhere.
    log_format: str = _checked("auto", OneOf(("auto", "text", "json")))

    @property
    def direct_url(self) -> str:
        """A URL that reaches Postgres itself, for LISTEN."""
        return self.database_direct_url or self.database_url


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


class _Environment(FileAwareEnv):
    """environs, reading a mapping that is given rather than the process's environment."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(eager=False, prefix=PREFIX, strip_whitespace=True)
        self._variables = variables

    def _get_value(self, env_key: str, default: Any) -> Any:
        path = self._variables.get(env_key + self.file_suffix)
        if path:
            return _contents(env_key + self.file_suffix, path)
        # An empty variable is an unset one: compose files and CI systems can't unset.
        return self._variables.get(env_key) or default


def _contents(variable: str, path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{variable}: cannot read {path}: {error}") from error


def load_settings(env: Mapping[str, str] | None = None) -> Settings:
    """The settings that `env` (the process's environment unless given) asks for.

    Raises:
        ConfigurationError: names every variable that has no meaning, and why.
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
    try:
        reader.seal()
    except EnvValidationError as error:
        raise ConfigurationError(_sentence(error)) from error
    return Settings(**{name: _frozen(value) for name, value in values.items()})


def misspelt(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Variables that are no setting but nearly one, each with the one that must be meant."""
    given = os.environ if env is None else env
    known = {
        f"{PREFIX}{each.name.upper()}{suffix}" for each in fields(Settings) for suffix in _ENDS
    }
    strange = [name for name in given if name.startswith(PREFIX) and name not in known]
    if not strange:
        return {}
    # Seldom needed, and every process starts with this module.
    from difflib import get_close_matches

    near = {name: get_close_matches(name, sorted(known), n=1, cutoff=_NEAR) for name in strange}
    return {name: found[0] for name, found in near.items() if found}


def _frozen(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return tuple(part.strip() for part in value if part.strip())


def _sentence(error: EnvValidationError) -> str:
    wrong = error.error_messages if isinstance(error.error_messages, dict) else {}
    return "; ".join(f"{name}: {' '.join(map(str, why))}" for name, why in wrong.items())
