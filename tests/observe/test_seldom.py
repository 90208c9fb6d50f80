"""Tests of lines that are written seldom."""

from gateway.observe.seldom import Seldom
from tests.fixtures.clock import FakeClock


def test_a_key_has_one_line_in_a_period(clock: FakeClock) -> None:
    seldom = Seldom(60, now=clock.now)
    assert [seldom.allows("a"), seldom.allows("a"), seldom.allows("b")] == [True, False, True]
    clock.advance(60)
    assert seldom.allows("a")


def test_many_keys_neither_fill_the_memory_nor_the_log(clock: FakeClock) -> None:
    seldom = Seldom(60, most=3, now=clock.now)
    assert sum(seldom.allows(str(number)) for number in range(100)) == 3
    clock.advance(60)
    assert seldom.allows("100")
