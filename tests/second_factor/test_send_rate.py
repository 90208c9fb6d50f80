"""Tests of the send rate of a channel, on memory and on Redis."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import strategies as st

from gateway.domain.channel import Channel, ChannelKind, ChannelType
from gateway.second_factor.send_rate import SendRate, first_free, limits_of
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Store
from tests.fixtures.clock import START, FakeClock
from tests.fixtures.open_stores import opened
from tests.fixtures.properties import Reached, property_test

GRACE = 3.0
KEPT = 3600.0
MINUTE = 60.0

CHANNEL = Channel("otp@example.com", ChannelType.EMAIL, ChannelKind.SMTP, rate_per_minute=30)


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def address(request: pytest.FixtureRequest) -> str:
    """Returns the address of a store of each kind; empty means in this process."""
    return "" if request.param == "memory" else str(request.getfixturevalue("redis_url"))


@pytest.fixture
async def store(address: str, clock: FakeClock) -> AsyncIterator[Store]:
    """Yields a store of each kind."""
    async with opened(address, clock, prefix="pace:") as made:
        yield made


@pytest.fixture
def pace(store: Store, clock: FakeClock) -> SendRate:
    """Yields the send rate of one replica."""
    return SendRate(store, clock)


def most_in(seconds: float, moments: Sequence[float]) -> int:
    """Returns the largest number of `moments` within any period of that length."""
    return max(sum(begin <= at < begin + seconds for at in moments) for begin in moments)


async def slots(pace: SendRate, clock: FakeClock, count: int, channel: Channel = CHANNEL) -> list[float]:
    """Returns the times at which each of `count` users who ask at the same time may send."""
    return [await pace.take(channel, f"user {n}") or clock.now() for n in range(count)]


@pytest.mark.row("GW-34")
async def test_a_channel_without_a_rate_sends_at_once(pace: SendRate) -> None:
    free = replace(CHANNEL, rate_per_minute=None)
    assert [await pace.take(free, "anna") for _ in range(100)] == [None] * 100


@pytest.mark.row("GW-34")
async def test_no_minute_has_more_slots_than_the_rate_even_if_each_is_used_late(
    pace: SendRate, clock: FakeClock
) -> None:
    slots_given = await slots(pace, clock, 200)
    assert most_in(MINUTE + GRACE, slots_given) <= 30


@pytest.mark.row("GW-34")
async def test_mails_are_sent_in_the_order_of_their_requests(pace: SendRate, clock: FakeClock) -> None:
    slots_given = await slots(pace, clock, 100)
    assert slots_given == sorted(slots_given)


@pytest.mark.row("GW-34")
async def test_at_least_nine_tenths_of_the_rate_are_used(pace: SendRate, clock: FakeClock) -> None:
    slots_given = await slots(pace, clock, 600)
    assert (slots_given[-1] - START) / MINUTE < 600 / 30 * 1.1


@pytest.mark.row("GW-34")
async def test_the_first_three_mails_are_sent_at_once_and_the_next_waits_seconds(
    pace: SendRate, clock: FakeClock
) -> None:
    assert [await pace.take(CHANNEL, f"user {n}") for n in range(3)] == [None] * 3
    waits = await pace.take(CHANNEL, "user 3")
    assert waits is not None
    assert 0 < waits - clock.now() < 10


@pytest.mark.row("GW-34")
@pytest.mark.parametrize("rate", [1, 2, 7, 19, 20, 60, 1000])
async def test_any_rate_is_never_exceeded(clock: FakeClock, rate: int) -> None:
    pace, channel = SendRate(MemoryStore(clock), clock), replace(CHANNEL, rate_per_minute=rate)
    assert most_in(MINUTE + GRACE, await slots(pace, clock, min(3 * rate + 2, 1500), channel)) <= rate


@pytest.mark.row("GW-34")
async def test_a_user_has_one_place_in_the_queue_after_any_number_of_requests(pace: SendRate, clock: FakeClock) -> None:
    await slots(pace, clock, 50)
    mine = await pace.take(CHANNEL, "anna")
    assert [await pace.take(CHANNEL, "anna") for _ in range(20)] == [mine] * 20
    after = await pace.take(CHANNEL, "ben")
    assert mine is not None
    assert after is not None
    assert after - mine < 10


@pytest.mark.row("GW-34")
async def test_a_slot_is_used_for_one_mail(pace: SendRate, clock: FakeClock) -> None:
    await slots(pace, clock, 50)
    mine = await pace.take(CHANNEL, "anna")
    assert mine is not None
    clock.set(mine)
    assert await pace.take(CHANNEL, "anna") is None
    again = await pace.take(CHANNEL, "anna")
    assert again is not None
    assert again > clock.now()


@pytest.mark.row("GW-34")
async def test_parallel_requests_for_one_slot_send_one_mail(store: Store, clock: FakeClock) -> None:
    replicas = [SendRate(store, clock) for _ in range(3)]
    await slots(replicas[0], clock, 50)
    mine = await replicas[0].take(CHANNEL, "anna")
    assert mine is not None
    clock.set(mine)
    answers = await asyncio.gather(*(replicas[n % 3].take(CHANNEL, "anna") for n in range(30)))
    assert answers.count(None) == 1


@pytest.mark.row("GW-34")
async def test_replicas_that_take_slots_at_the_same_time_do_not_exceed_the_rate(store: Store, clock: FakeClock) -> None:
    replicas = [SendRate(store, clock) for _ in range(4)]
    answers = await asyncio.gather(*(replicas[n % 4].take(CHANNEL, f"user {n}") for n in range(120)))
    slots_given = sorted(at or clock.now() for at in answers)
    assert most_in(MINUTE + GRACE, slots_given) <= 30
    assert slots_given[-1] - START < 120 / 30 * MINUTE * 1.1


@pytest.mark.row("GW-34")
async def test_a_user_who_missed_their_slot_is_not_moved_to_the_end_of_the_queue(
    pace: SendRate, clock: FakeClock
) -> None:
    slots_given = await slots(pace, clock, 500)
    clock.set(slots_given[100] + GRACE)
    assert await pace.take(CHANNEL, "user 100") is None


@pytest.mark.row("GW-34")
async def test_a_failed_mail_is_sent_before_mails_that_join_the_queue_later(pace: SendRate, clock: FakeClock) -> None:
    slots_given = await slots(pace, clock, 500)
    clock.set(slots_given[100])
    assert await pace.take(CHANNEL, "user 100") is None
    await pace.not_used(CHANNEL, "user 100")
    assert await pace.take(CHANNEL, "user 100") is None


@pytest.mark.row("GW-34")
async def test_users_who_return_after_a_missed_slot_are_counted_in_the_rate(pace: SendRate, clock: FakeClock) -> None:
    slots_given = await slots(pace, clock, 300)
    clock.set(slots_given[100] + GRACE)
    again = [await pace.take(CHANNEL, f"user {n}") or clock.now() for n in range(60, 100)]
    assert most_in(MINUTE + GRACE, sorted(again + slots_given[101:])) <= 30


@pytest.mark.row("GW-34")
async def test_a_place_missed_for_a_long_time_expires(clock: FakeClock) -> None:
    pace = SendRate(MemoryStore(clock), clock)
    mine = (await slots(pace, clock, 100))[-1]
    clock.set(mine + KEPT + 1)
    await slots(pace, clock, 50)
    at = await pace.take(CHANNEL, "user 99")
    assert at is not None
    assert at > clock.now() + MINUTE


@pytest.mark.row("GW-34")
async def test_a_spare_slot_is_taken_only_after_all_waiting_mails(pace: SendRate, clock: FakeClock) -> None:
    assert await pace.take_spare(CHANNEL) is None
    slots_given = await slots(pace, clock, 50)
    when = await pace.take_spare(CHANNEL)
    assert when is not None
    assert when >= slots_given[-1]
    assert (await slots(pace, clock, 51))[-1] < when + 10  # the request took no slot


async def test_channels_have_separate_queues(pace: SendRate, clock: FakeClock) -> None:
    await slots(pace, clock, 50)
    assert await pace.take(replace(CHANNEL, service_identifier="other@example.com"), "anna") is None


async def test_the_store_keys_show_neither_user_nor_mailbox(clock: FakeClock) -> None:
    class Seen(MemoryStore):
        keys: set[str]

        async def get(self, key: str) -> bytes | None:
            self.keys.add(key)
            return await super().get(key)

    store = Seen(clock)
    store.keys = set()
    await slots(SendRate(store, clock), clock, 5)
    assert store.keys
    assert not any("user" in key or "otp@" in key for key in store.keys)


@property_test(
    least=1,
    rate=st.integers(1, 120),
    waits=st.lists(st.floats(0, 40, allow_nan=False), min_size=1, max_size=150),
)
def test_the_first_free_slot_follows_the_order_and_every_limit(reached: Reached, rate: int, waits: list[float]) -> None:
    limits, now, taken = limits_of(rate).in_turn, START, list[float]()
    for wait in waits:
        now += wait
        at = first_free(taken, limits, now)
        assert at >= now
        taken.append(at)
    reached()
    assert all(a <= b for a, b in pairwise(taken))
    for seconds, most in limits:
        assert most_in(seconds - 1e-4, taken) <= most
