"""Tests of the client address that a request counts against."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import strategies as st

from gateway.web.client_address import client_address, place_of
from tests.fixtures.properties import Reached, nearly, property_test

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "lines", "client"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("203.0.113.9", ["garbage, \x00"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, 10.0.0.7"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.8, 10.0.0.7"], "10.0.0.8"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["2001:DB8:0::1"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("fd00::1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("::ffff:203.0.113.9", [], "203.0.113.9"),
        ("", ["198.51.100.1"], ""),
        (None, [], ""),
    ],
)
def test_the_client_address_is_the_rightmost_one_of_no_trusted_proxy(
    peer: str | None, lines: list[str], client: str
) -> None:
    assert client_address(peer, lines, TRUSTED) == client


def test_no_proxy_is_trusted_unless_the_operator_configures_it() -> None:
    assert client_address("10.0.0.1", ["198.51.100.1"], ()) == "10.0.0.1"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "unknown",
        "198.51.100.1,",
        "1.2.3",
        "1.2.3.4.5",
        "_hidden",
        "198.51.100.1 10.0.0.2",
        "fe80::1%eth0",
        "۱.۲.۳.۴",
        "1.2.3.4:99999999",
        "x" * 9000,
        ",".join(["10.0.0.2"] * 33),
    ],
)
def test_an_unparsable_header_of_a_trusted_proxy_is_refused(line: str) -> None:
    assert client_address("10.0.0.1", [line], TRUSTED) is None


def test_a_chain_of_32_trusted_proxies_is_accepted() -> None:
    assert client_address("10.0.0.1", [",".join(["203.0.113.9", *["10.0.0.2"] * 31])], TRUSTED) == "203.0.113.9"


_ADDRESSES = st.one_of(st.ip_addresses().map(str), st.sampled_from(["10.0.0.2", "203.0.113.7:80", "[2001:db8::1]:443"]))
_ODD = st.text(alphabet="0123456789.:[], abcf", max_size=3)
_LINES = nearly(st.lists(_ADDRESSES, min_size=1, max_size=4).map(", ".join), _ODD)


@property_test(st.lists(_LINES, min_size=1, max_size=3), least=0.3)
def test_an_untrusted_peer_cannot_change_its_client_address(reached: Reached, lines: list[str]) -> None:
    if client_address("10.0.0.1", lines, TRUSTED) not in ("203.0.113.9", None):
        reached()  # from a trusted peer these lines would be accepted
    assert client_address("203.0.113.9", lines, TRUSTED) == "203.0.113.9"


@property_test(st.lists(_LINES, max_size=3), least=0.3)
def test_any_header_of_a_trusted_peer_gives_an_address_or_a_refusal(reached: Reached, lines: list[str]) -> None:
    found = client_address("10.0.0.1", lines, TRUSTED)
    assert found is None or isinstance(found, str)
    if isinstance(found, str):
        reached()
        ip_address(found)


def test_a_trusted_proxy_with_a_zone_in_its_address_is_trusted() -> None:
    trusted = (ip_network("fe80::/64"),)
    assert client_address("fe80::1%eth0", ["192.0.2.7"], trusted) == "192.0.2.7"
    assert client_address("fe80::1%eth0", ["192.0.2.7"], ()) == "fe80::1"


PLACES = {
    "Company": (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")),
    "Head office": (ip_network("10.1.0.0/16"), ip_network("192.0.2.7/32")),
}


@pytest.mark.row("GW-45")
@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("10.9.0.1", "Company"),
        ("10.1.2.3", "Head office"),
        ("2001:db8::5", "Company"),
        ("::ffff:192.0.2.7", "Head office"),
        ("192.0.2.8", ""),
        ("", ""),
        ("unix", ""),
    ],
)
def test_a_place_has_the_name_of_the_narrowest_network_with_the_address(address: str, name: str) -> None:
    assert place_of(address, PLACES) == name
