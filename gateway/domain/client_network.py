"""Tells which addresses count as one client."""

from ipaddress import IPv6Address, IPv6Network, ip_address


def client_network(address: str) -> str:
    """The client that `address` counts for: an IPv6 address counts for its /64, whose addresses one machine may use.

    An IPv4 address, mapped into IPv6 or not, counts for itself; a text that is no address counts as it is.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is None:
            return str(IPv6Network((int(found), 64), strict=False))
        found = found.ipv4_mapped
    return str(found)
