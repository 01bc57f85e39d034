"""The data and services that a call may use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from orchestrator.calls import call_errors
from orchestrator.calls.call_secrets import Secrets, mentions
from orchestrator.calls.process_policy import ProcessPolicy
from orchestrator.calls.token_cache import Tokens
from orchestrator.expressions import Evaluate, ExpressionError, resolve
from orchestrator.outbound import OutboundClient

Json = Any


def secret_missing(name: str) -> Json:
    """Raise `WorkflowError` (authorization): no secrets are available."""
    raise call_errors.authorization(f"there is no secret {name!r}")


def never() -> bool:
    """Return False: no data contains a secret."""
    return False


@dataclass(frozen=True)
class CallContext:
    """The input and the services of one attempt's call.

    `input` is the task's input, which URI templates take their variables from. `variables` are for
    expressions in reusable authentications. `authentications` and `secret_names` are the document's
    `use.authentications` and `use.secrets`; `secret` returns a secret's value or raises
    `WorkflowError` (authorization, 403). `timeout` is the rest of the attempt's time, in seconds.
    `tokens` are access tokens, which all calls of a process may share. `stored` is the document's
    unevaluated `with`, present only if the call uses secrets. `secrets_in_data` says whether the
    workflow's data may contain a secret. `processes` says which processes the workflow may run.
    """

    outbound: OutboundClient
    evaluate: Evaluate
    input: Json = None
    variables: Mapping[str, Json] = field(default_factory=dict)
    authentications: Mapping[str, Json] = field(default_factory=dict)
    secret_names: tuple[str, ...] = ()
    secret: Callable[[str], Json] = secret_missing
    timeout: float | None = None
    tokens: Tokens = field(default_factory=Tokens)
    stored: Json = None
    secrets_in_data: Callable[[], bool] = never
    processes: ProcessPolicy = field(default_factory=ProcessPolicy)

    @cached_property
    def secrets(self) -> Secrets:
        """The secrets that this call has used so far."""
        return Secrets(self.secret, self.secret_names)

    def secret_members(self, part: str, members: Mapping[str, Json]) -> frozenset[str]:
        """Return the members of an argument (`headers`, `parameters`) that were made with secrets.
        A member counts if its expression uses a secret, if its value contains one, or if any data
        may contain one."""
        stored = self.stored.get(part) if isinstance(self.stored, dict) else None
        if self.secrets_in_data() or (not isinstance(stored, dict) and mentions(stored)):
            return frozenset(members)
        expressions = stored if isinstance(stored, dict) else {}
        return frozenset(
            name
            for name, value in members.items()
            if mentions(expressions.get(name)) or self.secrets.in_value(value)
        )

    def fill(self, value: Json, path: str = "") -> Json:
        """Return the value with every expression evaluated, including `$secrets`. `path` is the
        value's position in its task, for errors.

        Raises `WorkflowError` (expression, 400; authorization, 403) and `EvaluatorUnavailable`.
        """
        try:
            variables = {**self.variables, **self.secrets.variables(value)}
            return resolve(value, self.input, variables, self.evaluate, path)
        except ExpressionError as error:
            if not self.secrets.used:
                raise call_errors.expression(str(error)) from error
            # Leave out jq's message, since the call has used a secret. jq quotes values and
            # shortens them, and the mask would not recognise a shortened secret.
            where = f" (in {path})" if path else ""
            raise call_errors.expression(
                f"it failed; the message is not shown because the call uses a secret{where}"
            ) from None
