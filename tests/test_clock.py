"""Time and chance for tests."""

import pytest

from tests.clock import FakeClock, SeededRandom


def test_the_clock_stands_still_until_told() -> None:
    clock = FakeClock(100.0)
    assert (clock.now(), clock.now()) == (100.0, 100.0)


def test_the_clock_moves_as_told() -> None:
    clock = FakeClock(100.0)
    clock.advance(60)
    assert clock.now() == 160.0


def test_the_clock_does_not_go_back_by_accident() -> None:
    with pytest.raises(ValueError, match="forward"):
        FakeClock().advance(-1)


def test_the_same_seed_gives_the_same_random_numbers() -> None:
    one, two = SeededRandom(7), SeededRandom(7)
    assert (one.token_bytes(16), one.below(10)) == (two.token_bytes(16), two.below(10))


def test_below_stays_below() -> None:
    random = SeededRandom()
    assert {random.below(3) for _ in range(200)} == {0, 1, 2}
