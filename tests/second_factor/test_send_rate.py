"""When a channel may send its next mail, on memory and on Redis."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import strategies as st

from gateway.domain.channel import Channel, ChannelKind, ChannelType
from gateway.second_factor.send_rate import GRACE, KEPT, MINUTE, SendRate, first_free, limits_of
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Store
from tests.clock import START, FakeClock
from tests.properties import Reached, property_test
from tests.store.open_stores import opened

CHANNEL = Channel("otp@example.com", ChannelType.EMAIL, ChannelKind.SMTP, rate_per_minute=30)


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
def address(request: pytest.FixtureRequest) -> str:
    """Where a store of each kind is; empty means in this process."""
    return "" if request.param == "memory" else str(request.getfixturevalue("redis_url"))


@pytest.fixture
async def store(address: str, clock: FakeClock) -> AsyncIterator[Store]:
    """A store of each kind."""
    async with opened(address, clock, prefix="pace:") as made:
        yield made


@pytest.fixture
def pace(store: Store, clock: FakeClock) -> SendRate:
    """One replica."""
    return SendRate(store, clock)


def most_in(seconds: float, moments: Sequence[float]) -> int:
    """The most of `moments` that lie within any so many seconds."""
    return max(sum(begin <= at < begin + seconds for at in moments) for begin in moments)


async def slots(pace: SendRate, clock: FakeClock, count: int, channel: Channel = CHANNEL) -> list[float]:
    """When each of `count` holders who come at the same time may send."""
    return [await pace.take(channel, f"user {n}") or clock.now() for n in range(count)]


@pytest.mark.row("GW-34")
async def test_a_channel_without_a_rate_sends_at_once(pace: SendRate) -> None:
    free = replace(CHANNEL, rate_per_minute=None)
    assert [await pace.take(free, "anna") for _ in range(100)] == [None] * 100


@pytest.mark.row("GW-34")
async def test_no_minute_has_more_slots_than_the_rate_also_when_each_is_used_late(
    pace: SendRate, clock: FakeClock
) -> None:
    given_away = await slots(pace, clock, 200)
    assert most_in(MINUTE + GRACE, given_away) <= 30


@pytest.mark.row("GW-34")
async def test_who_comes_first_is_sent_first(pace: SendRate, clock: FakeClock) -> None:
    given_away = await slots(pace, clock, 100)
    assert given_away == sorted(given_away)


@pytest.mark.row("GW-34")
async def test_most_of_the_rate_is_used(pace: SendRate, clock: FakeClock) -> None:
    given_away = await slots(pace, clock, 600)
    assert (given_away[-1] - START) / MINUTE < 600 / 30 * 1.1


@pytest.mark.row("GW-34")
async def test_the_first_few_go_at_once_and_the_next_one_waits_seconds(pace: SendRate, clock: FakeClock) -> None:
    assert [await pace.take(CHANNEL, f"user {n}") for n in range(3)] == [None] * 3
    waits = await pace.take(CHANNEL, "user 3")
    assert waits is not None
    assert 0 < waits - clock.now() < 10


@pytest.mark.row("GW-34")
@pytest.mark.parametrize("rate", [1, 2, 7, 19, 20, 60, 1000])
async def test_any_rate_is_kept(clock: FakeClock, rate: int) -> None:
    pace, channel = SendRate(MemoryStore(clock), clock), replace(CHANNEL, rate_per_minute=rate)
    assert most_in(MINUTE + GRACE, await slots(pace, clock, min(3 * rate + 2, 1500), channel)) <= rate


@pytest.mark.row("GW-34")
async def test_a_holder_has_one_place_however_often_he_asks(pace: SendRate, clock: FakeClock) -> None:
    await slots(pace, clock, 50)
    mine = await pace.take(CHANNEL, "anna")
    assert [await pace.take(CHANNEL, "anna") for _ in range(20)] == [mine] * 20
    after = await pace.take(CHANNEL, "ben")
    assert mine is not None
    assert after is not None
    assert after - mine < 10


@pytest.mark.row("GW-34")
async def test_a_slot_is_one_mail(pace: SendRate, clock: FakeClock) -> None:
    await slots(pace, clock, 50)
    mine = await pace.take(CHANNEL, "anna")
    assert mine is not None
    clock.set(mine)
    assert await pace.take(CHANNEL, "anna") is None
    again = await pace.take(CHANNEL, "anna")
    assert again is not None
    assert again > clock.now()


@pytest.mark.row("GW-34")
async def test_one_slot_asked_for_by_many_requests_at_once_is_one_mail(store: Store, clock: FakeClock) -> None:
    replicas = [SendRate(store, clock) for _ in range(3)]
    await slots(replicas[0], clock, 50)
    mine = await replicas[0].take(CHANNEL, "anna")
    assert mine is not None
    clock.set(mine)
    answers = await asyncio.gather(*(replicas[n % 3].take(CHANNEL, "anna") for n in range(30)))
    assert answers.count(None) == 1


@pytest.mark.row("GW-34")
async def test_the_rate_holds_over_replicas_that_take_at_the_same_time(store: Store, clock: FakeClock) -> None:
    replicas = [SendRate(store, clock) for _ in range(4)]
    answers = await asyncio.gather(*(replicas[n % 4].take(CHANNEL, f"user {n}") for n in range(120)))
    given_away = sorted(at or clock.now() for at in answers)
    assert most_in(MINUTE + GRACE, given_away) <= 30
    assert given_away[-1] - START < 120 / 30 * MINUTE * 1.1


@pytest.mark.row("GW-34")
async def test_who_missed_his_slot_does_not_queue_up_behind_everybody(pace: SendRate, clock: FakeClock) -> None:
    given_away = await slots(pace, clock, 500)
    clock.set(given_away[100] + GRACE)
    assert await pace.take(CHANNEL, "user 100") is None


@pytest.mark.row("GW-34")
async def test_a_mail_that_did_not_go_comes_before_those_who_queue_up_anew(pace: SendRate, clock: FakeClock) -> None:
    given_away = await slots(pace, clock, 500)
    clock.set(given_away[100])
    assert await pace.take(CHANNEL, "user 100") is None
    await pace.not_used(CHANNEL, "user 100")
    assert await pace.take(CHANNEL, "user 100") is None


@pytest.mark.row("GW-34")
async def test_who_comes_again_is_counted_too(pace: SendRate, clock: FakeClock) -> None:
    given_away = await slots(pace, clock, 300)
    clock.set(given_away[100] + GRACE)
    again = [await pace.take(CHANNEL, f"user {n}") or clock.now() for n in range(60, 100)]
    assert most_in(MINUTE + GRACE, sorted(again + given_away[101:])) <= 30


@pytest.mark.row("GW-34")
async def test_a_place_that_was_missed_for_long_is_forgotten(clock: FakeClock) -> None:
    pace = SendRate(MemoryStore(clock), clock)
    mine = (await slots(pace, clock, 100))[-1]
    clock.set(mine + KEPT + 1)
    await slots(pace, clock, 50)
    at = await pace.take(CHANNEL, "user 99")
    assert at is not None
    assert at > clock.now() + MINUTE


@pytest.mark.row("GW-34")
async def test_what_has_time_takes_only_what_nobody_waits_for(pace: SendRate, clock: FakeClock) -> None:
    assert await pace.take_spare(CHANNEL) is None
    given_away = await slots(pace, clock, 50)
    when = await pace.take_spare(CHANNEL)
    assert when is not None
    assert when >= given_away[-1]
    assert (await slots(pace, clock, 51))[-1] < when + 10  # asking took nothing


async def test_channels_do_not_wait_for_each_other(pace: SendRate, clock: FakeClock) -> None:
    await slots(pace, clock, 50)
    assert await pace.take(replace(CHANNEL, service_identifier="other@example.com"), "anna") is None


async def test_no_user_and_no_mailbox_can_be_read_in_the_keys(clock: FakeClock) -> None:
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
def test_first_free_is_in_order_and_keeps_every_limit(reached: Reached, rate: int, waits: list[float]) -> None:
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
