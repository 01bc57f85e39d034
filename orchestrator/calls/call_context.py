"""What a call may use while it is carried out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from orchestrator.calls import call_errors
from orchestrator.calls.call_secrets import Secrets, mentions
from orchestrator.calls.token_cache import Tokens
from orchestrator.expressions import Evaluate, ExpressionError, resolve
from orchestrator.outbound import OutboundClient

Json = Any


def secret_missing(name: str) -> Json:
    """There are no secrets here."""
    raise call_errors.authorization(f"there is no secret {name!r}")


def never() -> bool:
    """No data holds a secret."""
    return False


@dataclass(frozen=True)
class CallContext:
    """The surroundings of one attempt's call.

    `input` is the task's input: URI templates take their variables from it. `variables` are
    those of expressions in reusable authentications. `authentications` and `secret_names`
    are the document's `use.authentications` and `use.secrets`; `secret` gives a secret's value
    or raises `WorkflowError` (authorization, 403). `timeout` is what is left of the attempt's
    time, in seconds. `tokens` are access tokens, which the calls of a process may share.
    `stored` is the call's `with` as the document has it, where it is evaluated here: only then
    does it use secrets; `secrets_in_data` says whether any data of the workflow may hold one.
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

    @cached_property
    def secrets(self) -> Secrets:
        """The secrets that this call has used so far."""
        return Secrets(self.secret, self.secret_names)

    def secret_members(self, part: str, members: Mapping[str, Json]) -> frozenset[str]:
        """Which members of one argument of the call (`headers`, `parameters`) were made with
        secrets: by their expressions, by what came of them, or because any data may hold one."""
        stored = self.stored.get(part) if isinstance(self.stored, dict) else None
        if self.secrets_in_data() or (not isinstance(stored, dict) and mentions(stored)):
            return frozenset(members)
        own = stored if isinstance(stored, dict) else {}
        return frozenset(
            name
            for name, value in members.items()
            if mentions(own.get(name)) or self.secrets.in_value(value)
        )

    def fill(self, value: Json, place: str = "") -> Json:
        """The value with every expression in it evaluated, `$secrets` included; `place` is
        where it stands in its task, for errors.

        Raises `WorkflowError` (expression, 400; authorization, 403) and `EvaluatorUnavailable`.
        """
        try:
            variables = {**self.variables, **self.secrets.variables(value)}
            return resolve(value, self.input, variables, self.evaluate, place)
        except ExpressionError as error:
            raise call_errors.expression(str(error)) from error
