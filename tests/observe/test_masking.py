"""Tests of `gateway.observe.redaction.mask_address`."""

import pytest
from hypothesis import strategies as st

from gateway.observe.redaction import mask_address
from tests.fixtures.properties import Reached, property_test


@pytest.mark.parametrize(
    ("address", "masked"),
    [
        ("anna@demo.com", "a***@d***.com"),
        ("a@b.co.uk", "a***@b***.uk"),
        ("root@localhost", "r***@l***"),
        ("+49 170 1234512", "***12"),
        ("12", "***"),
        ("", "***"),
    ],
)
def test_an_address_is_masked_to_its_first_letters_or_last_digits(address: str, masked: str) -> None:
    assert mask_address(address) == masked


@property_test(st.from_regex(r"[a-z]{2,12}@[a-z]{2,12}\.com", fullmatch=True), least=1)
def test_a_masked_address_shows_neither_the_full_name_nor_the_full_domain(reached: Reached, address: str) -> None:
    name, _, domain = address.partition("@")
    masked = mask_address(address)
    reached()
    assert name not in masked
    assert domain not in masked
    assert len(masked) == len("a***@b***.com")
