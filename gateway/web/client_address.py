"""Finds the client address of a request, and the network that counts as one client.

It is the socket's peer, unless that is one of the operator's trusted proxies. Then it is the rightmost address of
`X-Forwarded-For` that is not itself a trusted proxy: the client wrote all that is left of it. No other field
(`Forwarded`, `X-Real-IP`, …) is read. From an untrusted peer the header is ignored. From a trusted one a header that
does not parse rejects the request, so that no client skips a check by breaking it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
HEADER = "X-Forwarded-For"
MAX_HOPS = 32
_MAX_HOP = 64
"""Characters of one address, port and brackets included."""

_WITH_PORT = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+))(?::[0-9]{1,5})?")


def client_address(peer: str | None, forwarded_for: Iterable[str], trusted: Sequence[Network]) -> str | None:
    """Returns the client's address in its canonical spelling; None if a trusted proxy sent a header without one.

    `peer` is the socket's; None or "" for a Unix socket, which has no address, so the result is "". `forwarded_for` are
    the values of all `X-Forwarded-For` lines.
    """
    socket = _of_socket(peer)
    if socket is None:
        return peer or ""
    if not _is_trusted(socket, trusted):
        return str(socket)
    hops = [hop.strip(" \t") for line in forwarded_for for hop in line.split(",", MAX_HOPS + 1)]
    if len(hops) > MAX_HOPS:
        return None
    client = socket
    for hop in reversed(hops):
        address = _address(hop)
        if address is None:
            return None
        client = address
        if not _is_trusted(address, trusted):
            break
    return str(client)


def is_trusted_peer(peer: str | None, trusted: Sequence[Network]) -> bool:
    """Whether the socket's peer is a trusted proxy."""
    socket = _of_socket(peer)
    return socket is not None and _is_trusted(socket, trusted)


def client_network(address: str) -> str:
    """The client that `address` counts for: an IPv6 address counts for its /64, whose addresses one machine may use.

    An IPv4 address, mapped into IPv6 or not, counts for itself; a text that is no address counts as it is.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return address
    found = getattr(found, "ipv4_mapped", None) or found
    return str(found if found.version == 4 else ip_network((int(found), 64), strict=False))


def place_of(address: str, networks: Mapping[str, Sequence[Network]]) -> str:
    """The name of the narrowest of `networks` that has `address`; "" for none."""
    found = _address(address)
    holding = [(net.prefixlen, name) for name, nets in networks.items() for net in nets if found and found in net]
    return max(holding, key=lambda one: one[0])[1] if holding else ""


def _of_socket(peer: str | None) -> IPv4Address | IPv6Address | None:
    """The peer's address without its zone (`fe80::1%eth0`), which only this host knows."""
    return _address((peer or "").partition("%")[0])


def _address(text: str) -> IPv4Address | IPv6Address | None:
    if len(text) > _MAX_HOP:
        return None
    match = _WITH_PORT.fullmatch(text)
    try:
        address = ip_address((match["v6"] or match["v4"]) if match else text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id:
            return None
        return address.ipv4_mapped or address
    return address


def _is_trusted(address: IPv4Address | IPv6Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)
