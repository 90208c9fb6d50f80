"""Tests of the count of connections per client address."""

from ipaddress import ip_network

import pytest

from gateway.proxy.connections_per_address import ConnectionCounts


@pytest.mark.parametrize("address", ["192.0.2.7", "::ffff:192.0.2.7"])
def test_connections_of_a_trusted_proxy_are_not_counted_on_a_socket_for_both_protocols(address: str) -> None:
    counts = ConnectionCounts(1, lambda: [ip_network("192.0.2.0/24")])
    assert [counts.enter((address, port)) for port in (1, 2)] == ["", ""]
