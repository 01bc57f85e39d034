"""Errors of outgoing requests."""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class OutboundError(OrchestratorError):
    """An outgoing request failed."""


class Refused(OutboundError):
    """The request is not allowed to go there; nothing was sent."""


class InvalidRequest(OutboundError):
    """The request has no valid form in HTTP."""


class Unreachable(OutboundError):
    """The server could not be reached, or closed the connection early."""


class NoAddress(OutboundError):
    """The URL names no host."""


class TimedOut(OutboundError):
    """The server did not answer in time."""


class BadResponse(OutboundError):
    """The response is unusable: too large, endless, or redirected in circles."""
