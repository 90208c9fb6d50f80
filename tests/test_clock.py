"""Tests of the clock and the random numbers of tests."""

import pytest

from tests.clock import FakeClock, SeededRandom


def test_the_test_clock_does_not_advance_by_itself() -> None:
    clock = FakeClock(100.0)
    assert (clock.now(), clock.now()) == (100.0, 100.0)


def test_the_test_clock_advances_by_the_given_seconds() -> None:
    clock = FakeClock(100.0)
    clock.advance(60)
    assert clock.now() == 160.0


def test_the_test_clock_refuses_to_be_set_back() -> None:
    with pytest.raises(ValueError, match="forward"):
        FakeClock().advance(-1)


def test_the_same_seed_gives_the_same_random_numbers() -> None:
    one, two = SeededRandom(7), SeededRandom(7)
    assert (one.token_bytes(16), one.below(10)) == (two.token_bytes(16), two.below(10))


def test_below_returns_numbers_below_its_bound() -> None:
    random = SeededRandom()
    assert {random.below(3) for _ in range(200)} == {0, 1, 2}
