"""Tests of codes: equally likely, stored as a digest, compared exactly, and read in any spelling."""

from collections import Counter

import pytest
from hypothesis import strategies as st

from gateway.crypto.key_ring import Key, KeyRing, Signer
from gateway.domain.ports import SystemRandom
from gateway.second_factor.challenges import fold
from gateway.second_factor.factors.message_code import random_digits
from tests.fixtures.clock import SeededRandom
from tests.fixtures.properties import Reached, property_test

MAX_TYPED = 64

RANDOM = SystemRandom()
SIGNER = Signer(KeyRing((Key(RANDOM.token_bytes(4).hex(), RANDOM.token_bytes(32)),)), "codes")


@pytest.mark.parametrize("digits", [4, 6, 8, 10])
def test_a_code_has_exactly_the_requested_digits(digits: int, random: SeededRandom) -> None:
    for _ in range(500):
        code = random_digits(digits, random)
        assert len(code) == digits
        assert code.isascii()
        assert code.isdigit()


def test_every_number_with_that_many_digits_is_possible() -> None:
    class High:
        def token_bytes(self, count: int) -> bytes:
            return b"\xff" * count

        def below(self, n: int) -> int:
            return n - 1

    assert random_digits(6, High()) == "999999"


def test_a_code_may_begin_with_zeros() -> None:
    class Low:
        def token_bytes(self, count: int) -> bytes:
            return bytes(count)

        def below(self, limit: int) -> int:
            return 7

    assert random_digits(6, Low()) == "000007"


def test_every_first_digit_is_equally_likely(random: SeededRandom) -> None:
    counts = Counter(random_digits(6, random)[0] for _ in range(10_000))
    assert set(counts) == set("0123456789")
    assert all(850 < count < 1150 for count in counts.values())


def test_the_digest_does_not_show_the_code() -> None:
    assert "123456" not in SIGNER.sign("123456", "challenge", "user", "a@example.com")


def test_the_correct_code_matches() -> None:
    kept = SIGNER.sign("123456", "challenge", "user", "a@example.com")
    assert SIGNER.verify(kept, "123456", "challenge", "user", "a@example.com")


@pytest.mark.row("EF-12")
@pytest.mark.parametrize(
    "bound_to",
    [
        ("other challenge", "user", "a@example.com"),
        ("challenge", "other user", "a@example.com"),
        ("challenge", "user", "b@example.com"),
        ("challenge", "user"),
    ],
    ids=["challenge", "user", "address", "missing"],
)
def test_the_correct_code_of_another_challenge_user_or_address_does_not_match(bound_to: tuple[str, ...]) -> None:
    kept = SIGNER.sign("123456", "challenge", "user", "a@example.com")
    assert not SIGNER.verify(kept, "123456", *bound_to)


@pytest.mark.parametrize("typed", ["123457", "12345", "1234567", "", " 123456", "١٢٣٤٥٦"])
def test_another_code_does_not_match(typed: str) -> None:
    kept = SIGNER.sign("123456", "challenge")
    assert not SIGNER.verify(kept, typed, "challenge")


@pytest.mark.row("GW-32")
@pytest.mark.parametrize(
    "typed",
    [
        "123456",
        " 123456 ",
        "123 456",
        "123-456",
        "1 2 3 4 5 6",
        "123\u00a0456",
        "123\u2009456",
        "123\u202f456",
        "123\u2011456",
        "123\u2013456",
        "123\u2014456",
        "١٢٣٤٥٦",
        "١٢٣ ٤٥٦",
        "۱۲۳۴۵۶",
        "۱۲۳-۴۵۶",
        "१२३४५६",
        "\uff11\uff12\uff13\uff14\uff15\uff16",
        "\u200e123456\u200f",
        "\u202a123456\u202c",
        "\u2066123456\u2069",
        "\u061c١٢٣٤٥٦",
        "\ufeff123456",
        "123\u200b456",
        "123\u00ad456",
        "123456\r\n",
        "\t123456",
        "١٢٣456",
    ],
    ids=ascii,
)
def test_a_code_in_any_digits_and_spacing_folds_to_plain_digits(typed: str) -> None:
    assert fold(typed) == "123456"


@pytest.mark.row("GW-32")
@pytest.mark.parametrize("typed", ["abcdef", "12345O", "12345²", "①②③④⑤⑥", "一二三四五六", "½", "12.34.56", "1e5"])
def test_characters_other_than_digits_stay_and_are_rejected(typed: str) -> None:
    assert fold(typed) != "123456"
    assert not fold(typed).isdecimal()


def test_a_backup_code_of_letters_and_digits_stays_unchanged() -> None:
    assert fold("ab3d-9xyz") == "ab3d9xyz"


@property_test(st.text(max_size=500), least=1)
def test_any_entry_folds_to_at_most_64_characters_and_folding_twice_changes_nothing(
    reached: Reached, typed: str
) -> None:
    folded = fold(typed)
    reached()
    assert len(folded) <= MAX_TYPED
    assert fold(folded) == folded
    assert not any(character.isdecimal() and not character.isascii() for character in folded)


def test_an_entry_of_a_megabyte_is_not_read_completely() -> None:
    assert fold("1" * 1_000_000) == "1" * MAX_TYPED
