"""Every outgoing request of the product: calls of workflows and webhooks.

    outbound = OutboundClient(allow=["10.1.0.0/16"])
    response = outbound.send("GET", "https://example.com/", redirects=True)

Theory of operation. The client is httpx2, without its environment (no proxy, no .netrc). Its
network backend (`guarded_transport`) is ours: it gets the addresses of a host from the guard
(`address_guard`) at each connection and connects to exactly these. TLS still names and verifies the
host. One deadline covers the whole request with its redirects, and the response has a bound in
bytes after decompression. Connections are not reused: requests are rare, and nothing has to survive
a fork.
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
