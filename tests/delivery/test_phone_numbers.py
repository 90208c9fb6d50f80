"""Tests of phone numbers: read as people write them, kept in E.164, and refused where a text costs too much."""

import pytest

from gateway.delivery.phone_numbers import e164, in_groups
from gateway.domain.problem import Problem
from gateway.domain.tenant import PhoneNumbers

PAKISTAN = PhoneNumbers(region="PK", countries=frozenset({"PK", "DE", "US"}))
ANY_REGION = PhoneNumbers(countries=frozenset({"DE"}))


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("0300 1234567", "+923001234567"),
        ("0300-1234567", "+923001234567"),
        ("(0300) 123.45.67", "+923001234567"),
        ("+92 300 1234567", "+923001234567"),
        ("923001234567", "+923001234567"),  # as EFCX stores it
        ("00923001234567", "+923001234567"),
        ("٠٣٠٠١٢٣٤٥٦٧", "+923001234567"),
        ("۰۳۰۰ ۱۲۳ ۴۵۶۷", "+923001234567"),
        ("\N{LEFT-TO-RIGHT EMBEDDING}+92 300 1234567\N{POP DIRECTIONAL FORMATTING}", "+923001234567"),
        ("\N{FULLWIDTH PLUS SIGN}49 170 1234567", "+491701234567"),
        ("+49 (0) 170 / 123 45 67", "+491701234567"),
        ("4917012345678", "+4917012345678"),
    ],
)
def test_a_number_is_read_as_people_write_it(typed: str, number: str) -> None:
    assert e164(typed, PAKISTAN) == number


def test_a_number_without_a_country_code_needs_a_region() -> None:
    assert e164("0170 1234567", ANY_REGION) is Problem.BAD_NUMBER


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "+",
        "12345",
        "030012345678901234",
        "+92 300",
        "anna@example.com",
        "1-800-FLOWERS",
        "+49 170 1234567 ext 5",
        "+49 170 1234567;phone-context=+1",
        "tel:+491701234567",
        "+49 170 1234567,5",
        "+49 170 1234567\r\nX-Injected: yes",
        '+49 170 1234567","to":"+1900',
        "9" * 100_000,
    ],
)
def test_an_entry_that_is_no_number_is_rejected(typed: str) -> None:
    assert e164(typed, PAKISTAN) is Problem.BAD_NUMBER


@pytest.mark.parametrize(
    "typed",
    [
        pytest.param("+1 900 555 0100", id="premium rate"),
        pytest.param("+1 800 356 9377", id="free for callers"),
        pytest.param("+49 900 1234567", id="premium rate in Germany"),
        pytest.param("+44 70 1234 5678", id="personal number"),
        pytest.param("+8816 1234 5678", id="satellite"),
        pytest.param("+44 7911 123456", id="another country"),
        pytest.param("+1 876 555 0123", id="another country with the same country code"),
    ],
)
def test_a_number_that_costs_too_much_or_is_of_another_country_is_refused(typed: str) -> None:
    assert e164(typed, PAKISTAN) is Problem.NUMBER_NOT_ALLOWED


def test_without_countries_the_region_alone_is_allowed() -> None:
    only_region = PhoneNumbers(region="PK")
    assert e164("0300 1234567", only_region) == "+923001234567"
    assert e164("+49 170 1234567", only_region) is Problem.NUMBER_NOT_ALLOWED


def test_without_region_and_countries_every_number_is_refused() -> None:
    assert e164("+49 170 1234567", PhoneNumbers()) is Problem.NUMBER_NOT_ALLOWED


def test_a_number_is_shown_in_groups() -> None:
    assert in_groups("+491701234567") == "+49 170 1234567"
