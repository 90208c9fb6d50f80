"""Tests of the table of factors."""

import pytest

from gateway.domain.policy import FactorKind
from gateway.rendering.data_root import data_root
from gateway.rendering.languages import load_languages
from gateway.second_factor.factors import table


def test_every_factor_kind_is_in_the_table() -> None:
    assert set(table.TYPES) == set(FactorKind)


def test_the_combined_page_tries_the_factors_in_this_order() -> None:
    served = [FactorKind.TOTP, FactorKind.EMAIL, FactorKind.SMS, FactorKind.BACKUP_CODE, FactorKind.ADMIN_CODE]
    assert list(table.TYPES)[: len(served)] == served


def test_only_message_factors_send_codes() -> None:
    by_message = {FactorKind.EMAIL, FactorKind.SMS, FactorKind.EXTERNAL_EMAIL, FactorKind.EXTERNAL_SMS}
    assert {kind for kind in FactorKind if kind in table.SENT} == by_message


def test_a_label_is_in_the_requested_language() -> None:
    arabic = load_languages(data_root() / "locales", ("ar",)).get("ar")
    assert table.label(FactorKind.EMAIL, arabic) == "رمز عبر البريد الإلكتروني"


@pytest.mark.parametrize(
    ("kind", "letters"), [(FactorKind.TOTP, False), (FactorKind.EMAIL, False), (FactorKind.BACKUP_CODE, True)]
)
def test_only_a_code_that_can_hold_letters_gets_a_keyboard_with_letters(kind: FactorKind, letters: bool) -> None:
    english = load_languages(data_root() / "locales", ("en",)).get("en")
    assert table.view(kind, english).letters is letters


@pytest.mark.parametrize("kind", [FactorKind.EXTERNAL_EMAIL, FactorKind.EXTERNAL_SMS])
def test_a_code_of_a_service_whose_length_is_not_known_has_four_to_ten_digits(kind: FactorKind) -> None:
    digits = table.TYPES[kind].digits(otp_length=6)
    assert digits
    assert [length for length in range(20) if digits.fits("1" * length)] == list(range(4, 11))
