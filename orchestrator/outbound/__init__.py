"""Every request that leaves the product: calls of workflows and webhooks.

    outbound = Outbound(allow=["10.1.0.0/16"])
    response = outbound.send("GET", "https://example.com/", redirects=True)

Theory of operation. The client is httpx2, without its environment (no proxy, no .netrc). Under
it lies our own network backend (`connect`), which asks the guard (`guard`) for the addresses of
a host at each connection and connects to exactly these; TLS still names and verifies the host.
A request has one deadline for all of it, redirects included, and its response a bound in bytes,
counted after decompression. Connections are not kept: a request is rare beside what surrounds
it, and nothing has to survive a fork.
"""

from orchestrator.outbound.bounded_response import Response
from orchestrator.outbound.client import OutboundClient
from orchestrator.outbound.errors import (
    BadResponse,
    InvalidRequest,
    NoAddress,
    OutboundError,
    Refused,
    TimedOut,
    Unreachable,
)
from orchestrator.outbound.origin_confinement import Confined

__all__ = [
    "BadResponse",
    "Confined",
    "InvalidRequest",
    "NoAddress",
    "OutboundClient",
    "OutboundError",
    "Refused",
    "Response",
    "TimedOut",
    "Unreachable",
]
