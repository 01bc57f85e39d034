"""Why an outgoing request came to nothing."""

from __future__ import annotations

from orchestrator.errors import OrchestratorError


class OutboundError(OrchestratorError):
    """An outgoing request came to nothing."""


class Refused(OutboundError):
    """The request may not go where it wants to; nothing was sent there."""


class InvalidRequest(OutboundError):
    """The request cannot be said in HTTP."""


class Unreachable(OutboundError):
    """The other side could not be reached, or broke off."""


class NoAddress(OutboundError):
    """The URL names no host: there is nobody to send the request to."""


class TimedOut(OutboundError):
    """The other side did not answer in time."""


class BadResponse(OutboundError):
    """The other side's answer cannot be taken: too large, endless, or redirected in circles."""
