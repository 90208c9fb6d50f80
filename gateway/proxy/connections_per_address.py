"""Counts the connections of each client address."""

from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

import structlog

from gateway.web.client_address import client_network

Network = IPv4Network | IPv6Network

_log = structlog.get_logger(__name__)


class ConnectionCounts:
    """Counts connections for each client address; an IPv6 client is its /64, whose addresses one machine may use."""

    def __init__(self, most: int, trusted: Callable[[], Sequence[Network]]) -> None:
        self._most = most
        self._trusted = trusted
        self._counts: Counter[str] = Counter()
        self._told: set[str] = set()

    def enter(self, peer: object) -> str | None:
        """Count a connection. Returns the argument of `leave` ("": not counted), None for one connection too many."""
        client = self._client(peer)
        if not client:
            return ""
        if self._counts[client] >= self._most:
            if client not in self._told:  # once, not for each connection
                self._told.add(client)
                _log.warning(
                    "connections_refused",
                    client=client,
                    most=self._most,
                    hint="if this is a proxy of yours, name it in trusted_proxies",
                )
            return None
        self._counts[client] += 1
        return client

    def leave(self, client: str) -> None:
        """The connection has ended."""
        if not client:
            return
        self._counts[client] -= 1
        if self._counts[client] <= 0:
            del self._counts[client]
        if self._counts[client] <= self._most // 2:
            self._told.discard(client)

    def _client(self, peer: object) -> str:
        try:
            address = ip_address(peer[0])  # type: ignore[index]  # a tuple for IP, text for a Unix socket
        except (TypeError, IndexError, ValueError):
            return ""
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        if any(address in network for network in self._trusted()):
            return ""
        return client_network(str(address))
