"""Tests of the decisions of a tenant's settings."""

from ipaddress import ip_network

import pytest

from gateway.domain.tenant import Route
from tests.fixtures.sample_tenants import tenant


@pytest.mark.attack("F26")
@pytest.mark.parametrize(
    ("address", "trusted"), [("192.0.2.9", True), ("10.1.2.3", False), ("2001:db8::1", True), ("", False), ("?", False)]
)
def test_with_listed_networks_only_a_known_address_outside_of_them_may_be_trusted(address: str, trusted: bool) -> None:
    assert tenant(never_trust_from=(ip_network("10.0.0.0/8"),)).may_trust_from(address) is trusted


def test_without_listed_networks_every_address_may_be_trusted() -> None:
    assert tenant().may_trust_from("")


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/a", "/a"),
        ("/a/b/c", "/a/b"),
        ("/ab", None),
        ("/a/bc", "/a"),
        ("/other", None),
        ("/%61/%62/c", "/a/b"),
        ("/a%2fb", None),
        ("/a/%ff", "/a"),
    ],
)
def test_a_path_belongs_to_the_longest_prefix_of_whole_segments(path: str, route: str | None) -> None:
    found = tenant(routes=(Route("/a", "http://one"), Route("/a/b", "http://two"))).route_of(path)
    assert (found.path if found else None) == route
