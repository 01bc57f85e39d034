"""Decides which addresses outgoing requests may reach: the public internet, and what a setting
opens.

A name is resolved once per connection, and the connection is made to the checked address. So
neither a redirect nor a name server that changes its answer evades the check.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from orchestrator.errors import ConfigurationError
from orchestrator.log import get_logger
from orchestrator.outbound.errors import Refused, TimedOut, Unreachable

log = get_logger(__name__)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Lookup = Callable[[str, int], Iterable[str]]

NOT_PUBLIC = tuple(
    ip_network(text)
    for text in (
        # These networks are not public: those of IANA's special-purpose registries (RFC 6890), and
        # those whose addresses are translated to addresses in them.
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24"),
        *("192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # the wire server of Azure's machines
        *("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"),
        *("100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48"),
        *("3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
)


#: The beginning of a fixed address: a host and a port.
_FIXED = re.compile(r"[^:]+:\d+:")


@dataclass(frozen=True, slots=True)
class Target:
    """A checked address to connect to."""

    host: str
    port: int


def system_lookup(host: str, port: int) -> list[str]:
    """Return the addresses of a name from the system's resolver. Raise `OSError`."""
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


class Guard:
    """Resolves hosts and refuses addresses that are not open.

    `allow`: open networks besides the public ones (`10.1.0.0/16`), and fixed addresses of hosts,
    `host:port:address` as in curl, optionally with another port; the address is open for that host.
    Raises `ConfigurationError` for an invalid setting.
    """

    def __init__(
        self,
        allow: Iterable[str] = (),
        lookup: Lookup = system_lookup,
    ) -> None:
        entries = [text.strip() for text in allow]
        fixed = [text for text in entries if _FIXED.match(text) and not _is_network(text)]
        self._fixed = dict(_fixed_address(text) for text in fixed)
        self._open = tuple(_network(text) for text in entries if text not in fixed)
        self._lookup = lookup

    def targets(self, host: str, port: int, timeout: float) -> list[Target]:
        """Return the addresses of a host, in order. Raise `Refused`, `Unreachable`, `TimedOut`."""
        fixed = self._fixed.get((host.lower(), port))
        if fixed is not None:
            return [fixed]
        addresses = [_address(text) for text in self._resolved(host, port, timeout)]
        for address in addresses:
            if not self.is_open(address):
                # Write the address only to the log, not into the error. Authors of documents see
                # the error, and must not learn to which addresses the names of the private network
                # resolve.
                log.warning(
                    "A call to an address that is not open was refused",
                    action="address_refused",
                    host=host,
                    address=str(address),
                )
                raise Refused(
                    f"{host} has an address that is not open to workflows:"
                    " ORCHESTRATOR_OUTBOUND_ALLOW opens private networks"
                )
        if not addresses:
            raise Unreachable(f"{host} has no address")
        return [Target(str(address), port) for address in addresses]

    def is_open(self, address: Address) -> bool:
        """Whether requests may connect to this address."""
        mapped = getattr(address, "ipv4_mapped", None)
        if mapped is not None:
            return _within(address, self._open) or _within(mapped, self._open)
        return _within(address, self._open) or not _within(address, NOT_PUBLIC)

    def _resolved(self, host: str, port: int, timeout: float) -> list[str]:
        """Resolve in a separate thread: the system's resolver has no timeout."""
        answer: list[str] = []
        failure: list[OSError | UnicodeError] = []

        def resolve() -> None:
            try:
                answer.extend(self._lookup(host, port))
            except (OSError, UnicodeError) as error:
                failure.append(error)

        thread = threading.Thread(target=resolve, name=f"resolve {host}", daemon=True)
        thread.start()
        thread.join(timeout)
        if thread.is_alive():
            raise TimedOut(f"the address of {host} was not found in time")
        if failure:
            raise Unreachable(f"the address of {host} was not found: {failure[0]}")
        return answer


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise Refused(f"{text} is not an address that workflows may reach") from None


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _network(text: str) -> Network:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise ConfigurationError(f"{text!r} names no network: {error}") from error


def _fixed_address(text: str) -> tuple[tuple[str, int], Target]:
    """Read `host:port:address` or `host:port:address:port`; IPv6 is in brackets."""
    host, _, rest = text.partition(":")
    port, _, address = rest.partition(":")
    if address.startswith("["):
        literal, _, other = address[1:].partition("]")
        other = other.removeprefix(":")
    else:
        literal, _, other = address.partition(":")
    try:
        target = Target(str(ip_address(literal)), int(other or port))
        return (host.lower(), int(port)), target
    except ValueError as error:
        raise ConfigurationError(f"{text!r} is not host:port:address: {error}") from error
