"""Contract of the stores: the rules of `gateway.store.protocol` on memory, Redis and Valkey."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.store.counters import Held, Reserved, Rule
from gateway.store.protocol import Store
from tests.fixtures.clock import START, FakeClock
from tests.fixtures.open_stores import opened

STORES = [
    "memory",
    pytest.param("redis", marks=pytest.mark.redis),
    pytest.param("valkey", marks=pytest.mark.valkey),
]
NOW = START + 0.123456
RULE = Rule(count="{t/u}:tries", lock="{t/u}:locked", window=600.0, steps=((3, 60.0),))


@pytest.fixture(params=STORES)
def address(request: pytest.FixtureRequest) -> str:
    """Returns the address of a store of each kind; empty means in this process."""
    return "" if request.param == "memory" else str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def store(address: str, clock: FakeClock) -> AsyncIterator[Store]:
    """Yields one empty store of each kind."""
    async with opened(address, clock) as made:
        yield made


async def times(store: Store, count: int, rule: Rule = RULE, now: float = NOW) -> list[Reserved | Held]:
    return [await store.reserve([rule], now) for _ in range(count)]


# ------------------------------------------------------------------ values


async def test_a_stored_value_is_read_byte_for_byte(store: Store) -> None:
    value = bytes(range(256))
    await store.set("k", value, 60)
    assert await store.get("k") == value


async def test_an_unwritten_key_reads_none(store: Store) -> None:
    assert await store.get("k") is None


@pytest.mark.parametrize("value", [None, b"", bytes(range(256))])
async def test_a_question_is_answered_later_with_the_value(store: Store, value: bytes | None) -> None:
    if value is not None:
        await store.set("k", value, 60)
    found: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
    store.ask("k", found.set_result)
    assert not found.done()
    async with asyncio.timeout(10):
        assert await found == value


async def test_set_replaces_the_previous_value(store: Store) -> None:
    await store.set("k", b"1", 60)
    await store.set("k", b"2", 60)
    assert await store.get("k") == b"2"


async def test_add_writes_only_to_an_unused_key(store: Store) -> None:
    assert await store.add("k", b"1", 60)
    assert not await store.add("k", b"2", 60)
    assert await store.get("k") == b"1"


async def test_swap_writes_only_over_the_expected_value(store: Store) -> None:
    await store.set("k", b"1", 60)
    assert not await store.swap("k", b"0", b"2", 60)
    assert await store.swap("k", b"1", b"2", 60)
    assert await store.get("k") == b"2"


async def test_swap_of_an_absent_key_writes_nothing(store: Store) -> None:
    assert not await store.swap("k", b"1", b"2", 60)
    assert await store.get("k") is None


async def test_delete_reports_whether_the_key_existed(store: Store) -> None:
    await store.set("k", b"1", 60)
    assert await store.delete("k")
    assert not await store.delete("k")


async def test_delete_if_keeps_another_value(store: Store) -> None:
    await store.set("k", b"1", 60)
    assert not await store.delete_if("k", b"2")
    assert await store.delete_if("k", b"1")
    assert await store.get("k") is None


@pytest.mark.parametrize("ttl", [0.0, -5.0])
async def test_a_lifetime_that_is_already_over_is_no_error(store: Store, ttl: float) -> None:
    await store.set("k", b"1", ttl)
    await store.append("l", b"1", keep=3, ttl=ttl)
    assert await store.add("other", b"1", ttl)
    assert await store.swap("other", b"0", b"1", ttl) is False


async def test_an_empty_value_is_stored(store: Store) -> None:
    assert await store.add("k", b"", 60)
    assert not await store.add("k", b"1", 60)
    assert await store.get("k") == b""
    assert await store.swap("k", b"", b"1", 60)


KEYS = ["", " ", "a b", "a\nb", "a\x00b", "\xfc\u202e", "{", "}", "{}{x}", "*", "[a-z]", "%s %(x)s", "k" * 5000]


async def test_keys_with_any_characters_are_distinct(store: Store) -> None:
    for number, key in enumerate(KEYS):
        await store.set(key, b"%d" % number, 60)
    assert [await store.get(key) for key in KEYS] == [b"%d" % number for number in range(len(KEYS))]


async def test_counters_with_any_names_are_distinct(store: Store) -> None:
    rules = [replace(RULE, count=f"{{t}}:{key}", lock=f"{{t}}:lock:{key}") for key in KEYS]
    assert await store.reserve(rules, NOW) == Reserved((1,) * len(KEYS))
    assert await store.reserve(rules[:1], NOW) == Reserved((2,))
    assert await store.look(rules[1:], NOW) == Reserved((1,) * (len(KEYS) - 1))


async def test_one_of_200_parallel_adds_writes(store: Store) -> None:
    written = await asyncio.gather(*(store.add("k", b"%d" % n, 60) for n in range(200)))
    assert sum(written) == 1


async def test_one_of_200_parallel_swaps_of_one_value_writes(store: Store) -> None:
    await store.set("k", b"old", 60)
    written = await asyncio.gather(*(store.swap("k", b"old", b"%d" % n, 60) for n in range(200)))
    assert sum(written) == 1


async def test_one_of_200_parallel_conditional_deletes_of_one_value_deletes(store: Store) -> None:
    await store.set("k", b"1", 60)
    assert sum(await asyncio.gather(*(store.delete_if("k", b"1") for _ in range(200)))) == 1


# ------------------------------------------------------------------ lists


async def test_a_list_gives_its_last_values_newest_first(store: Store) -> None:
    for n in range(5):
        await store.append("l", b"%d" % n, keep=3, ttl=60)
    assert await store.last("l", 10) == [b"4", b"3", b"2"]
    assert await store.last("l", 2) == [b"4", b"3"]


async def test_the_last_zero_values_of_a_list_are_an_empty_list(store: Store) -> None:
    await store.append("l", b"1", keep=3, ttl=60)
    assert await store.last("l", 0) == []
    assert await store.last("other", 5) == []


async def test_delete_removes_a_list(store: Store) -> None:
    await store.append("l", b"1", keep=3, ttl=60)
    assert await store.delete("l")
    assert await store.last("l", 5) == []


# ------------------------------------------------------------------ counters


async def test_each_reservation_counts_one_attempt(store: Store) -> None:
    assert await times(store, 3) == [Reserved((1,)), Reserved((2,)), Reserved((3,))]


async def test_reaching_a_step_locks_for_the_steps_seconds(store: Store) -> None:
    await times(store, 3)
    assert await store.reserve([RULE], NOW + 59.999) == Held(0, NOW + 60)


async def test_a_raised_limit_frees_those_that_the_old_one_locked(store: Store) -> None:
    await times(store, 3)
    raised = replace(RULE, steps=((4, 60.0),))
    assert await store.look([raised], NOW) == Reserved((3,))
    assert await store.reserve([raised], NOW) == Reserved((4,))
    assert await store.look([raised], NOW) == Held(0, NOW + 60)


async def test_a_lower_limit_does_not_end_a_lock(store: Store) -> None:
    await times(store, 3)
    assert await store.reserve([replace(RULE, steps=((1, 30.0), (2, 60.0)))], NOW) == Held(0, NOW + 60)


async def test_a_shorter_lock_ends_older_locks_as_long_after_their_beginning(store: Store) -> None:
    await times(store, 3)
    shorter = replace(RULE, steps=((3, 10.0),))
    found = await store.look([shorter], NOW + 9)
    assert isinstance(found, Held)
    assert found.until == pytest.approx(NOW + 10)
    assert await store.reserve([shorter], NOW + 10.001) == Reserved((4,))


async def test_a_longer_lock_does_not_extend_older_locks(store: Store) -> None:
    await times(store, 3)
    assert await store.look([replace(RULE, steps=((3, 90.0),))], NOW + 59.999) == Held(0, NOW + 60)


async def test_a_lock_ends_at_its_time_and_the_count_continues(store: Store) -> None:
    await times(store, 3)
    assert await store.reserve([RULE], NOW + 60) == Reserved((4,))


async def test_beyond_the_last_step_every_count_locks_again(store: Store) -> None:
    await times(store, 3)
    await store.reserve([RULE], NOW + 60)
    assert await store.reserve([RULE], NOW + 61) == Held(0, NOW + 60 + 60)


async def test_each_step_locks_for_the_seconds_of_that_step(store: Store) -> None:
    rule = replace(RULE, steps=((1, 5.0), (2, 50.0)))
    await store.reserve([rule], NOW)
    assert await store.look([rule], NOW + 1) == Held(0, NOW + 5)
    await store.reserve([rule], NOW + 5)
    assert await store.look([rule], NOW + 6) == Held(0, NOW + 5 + 50)


async def test_a_step_of_zero_seconds_does_not_lock(store: Store) -> None:
    rule = replace(RULE, steps=((1, 0.0),))
    await store.reserve([rule], NOW)
    assert await store.reserve([rule], NOW) == Reserved((2,))


async def test_a_rule_without_steps_only_counts(store: Store) -> None:
    rule = replace(RULE, steps=())
    assert (await times(store, 20, rule))[-1] == Reserved((20,))


async def test_a_sliding_window_restarts_with_each_count(store: Store) -> None:
    rule = replace(RULE, steps=(), window=10.0)
    await store.reserve([rule], NOW)
    await store.reserve([rule], NOW + 9)
    assert await store.reserve([rule], NOW + 18) == Reserved((3,))
    assert await store.reserve([rule], NOW + 28) == Reserved((1,))


async def test_a_fixed_window_ends_at_the_time_set_by_the_first_count(store: Store) -> None:
    rule = replace(RULE, steps=(), window=10.0, sliding=False)
    await store.reserve([rule], NOW)
    assert await store.reserve([rule], NOW + 9) == Reserved((2,))
    assert await store.reserve([rule], NOW + 10) == Reserved((1,))


async def test_a_lock_as_long_as_the_window_extends_the_count_by_one_window(store: Store) -> None:
    rule = replace(RULE, steps=((3, 10.0),), window=10.0)
    await times(store, 3, rule)
    assert await store.reserve([rule], NOW + 10) == Reserved((4,))
    assert await store.look([rule], NOW + 19.9) == Held(0, NOW + 20)
    assert await store.reserve([rule], NOW + 30) == Reserved((1,))


async def test_a_lock_shorter_than_the_window_does_not_extend_the_window(store: Store) -> None:
    rule = replace(RULE, steps=((3, 5.0),), window=10.0)
    await times(store, 3, rule)
    assert await store.reserve([rule], NOW + 10) == Reserved((1,))


async def test_giving_back_the_attempt_that_led_to_a_long_lock_also_restores_the_window(store: Store) -> None:
    rule = replace(RULE, steps=((3, 10.0),), window=10.0)
    await times(store, 3, rule)
    await store.give_back([rule], NOW)
    assert await store.look([rule], NOW + 9.9) == Reserved((2,))
    assert await store.look([rule], NOW + 10) == Reserved((0,))


async def test_fractions_of_a_second_are_preserved(store: Store) -> None:
    rule = replace(RULE, steps=((1, 0.1),))
    await store.reserve([rule], NOW)
    assert await store.look([rule], NOW) == Held(0, NOW + 0.1)


async def test_a_refused_reservation_is_counted_under_no_rule(store: Store) -> None:
    other = replace(RULE, count="{t/u}:other", lock="{t/u}:other-lock")
    await times(store, 3)
    assert await store.reserve([other, RULE], NOW) == Held(1, NOW + 60)
    assert await store.look([other], NOW) == Reserved((0,))


async def test_the_longest_of_several_locks_is_returned(store: Store) -> None:
    short = replace(RULE, count="{t/u}:a", lock="{t/u}:al", steps=((1, 10.0),))
    long = replace(RULE, count="{t/u}:b", lock="{t/u}:bl", steps=((1, 20.0),))
    await store.reserve([short, long], NOW)
    assert await store.reserve([short, long], NOW) == Held(1, NOW + 20)
    assert await store.reserve([long, short], NOW) == Held(0, NOW + 20)


async def test_the_lock_of_the_first_rule_is_returned_among_equal_locks(store: Store) -> None:
    one = replace(RULE, count="{t/u}:a", lock="{t/u}:al", steps=((1, 10.0),))
    two = replace(RULE, count="{t/u}:b", lock="{t/u}:bl", steps=((1, 10.0),))
    await store.reserve([one, two], NOW)
    assert await store.look([two, one], NOW) == Held(0, NOW + 10)


async def test_several_rules_are_counted_in_their_order(store: Store) -> None:
    other = replace(RULE, count="{t/u}:other", lock="{t/u}:other-lock")
    await store.reserve([other], NOW)
    assert await store.reserve([RULE, other], NOW) == Reserved((1, 2))


async def test_one_count_may_trigger_the_locks_of_several_rules(store: Store) -> None:
    here, there = replace(RULE, lock="{t/u}:app:a"), replace(RULE, lock="{t/u}:app:b")
    await times(store, 3, here)
    assert await store.reserve([there], NOW) == Reserved((4,))
    assert await store.reserve([there], NOW) == Held(0, NOW + 60)


async def test_with_restart_the_count_is_cleared_after_the_lock(store: Store) -> None:
    rule = replace(RULE, restart=True)
    assert (await times(store, 3, rule))[-1] == Reserved((3,))
    assert await store.look([rule], NOW + 60) == Reserved((0,))
    assert await store.reserve([rule], NOW + 60) == Reserved((1,))


async def test_parallel_attempts_of_several_locks_on_one_count_get_one_beyond_the_step_for_each_lock(
    store: Store,
) -> None:
    rules = [replace(RULE, lock=f"{{t/u}}:app:{n % 4}", ends_with_lock=True) for n in range(80)]
    found = await asyncio.gather(*(store.reserve([rule], NOW) for rule in rules))
    assert sorted(one.counts for one in found if isinstance(one, Reserved)) == [(n,) for n in range(1, 7)]


@pytest.mark.parametrize("seconds", [60.0, 600.0, 6000.0])
async def test_a_count_can_end_with_the_last_of_the_locks_that_it_triggered(store: Store, seconds: float) -> None:
    rule = replace(RULE, steps=((3, seconds),), ends_with_lock=True)
    here, there = replace(rule, lock="{t/u}:app:a"), replace(rule, lock="{t/u}:app:b")
    await times(store, 3, here)
    assert await store.reserve([there], NOW + 10) == Reserved((4,))
    assert await store.look([here], NOW + seconds) == Reserved((4,))
    assert await store.look([there], NOW + seconds) == Held(0, NOW + 10 + seconds)
    assert await store.look([here], NOW + 10 + seconds) == Reserved((0,))
    assert await store.reserve([there], NOW + 10 + seconds) == Reserved((1,))


async def test_a_count_that_ends_with_its_lock_lives_one_window_before_it_locks(store: Store) -> None:
    rule = replace(RULE, ends_with_lock=True)
    await times(store, 2, rule)
    assert await store.look([rule], NOW + 599.9) == Reserved((2,))
    assert await store.look([rule], NOW + 600) == Reserved((0,))


async def test_giving_back_a_further_attempt_keeps_the_end_of_a_count_that_ends_with_its_lock(store: Store) -> None:
    rule = replace(RULE, ends_with_lock=True)
    here, there = replace(rule, lock="{t/u}:app:a"), replace(rule, lock="{t/u}:app:b")
    await times(store, 3, here)
    await store.reserve([there], NOW)
    await store.give_back([there], NOW)
    assert await store.look([there], NOW + 59.9) == Reserved((3,))
    assert await store.look([there], NOW + 60) == Reserved((0,))


async def test_reading_a_limit_counts_nothing(store: Store) -> None:
    await store.reserve([RULE], NOW)
    await store.look([RULE], NOW)
    assert await store.look([RULE], NOW) == Reserved((1,))


async def test_a_reservation_without_rules_is_allowed_and_counts_nothing(store: Store) -> None:
    assert await store.reserve([], NOW) == Reserved(())
    assert await store.look([], NOW) == Reserved(())
    await store.give_back([], NOW)
    await store.clear([])


async def test_an_attempt_given_back_reduces_the_count_by_one(store: Store) -> None:
    await times(store, 2)
    await store.give_back([RULE], NOW)
    assert await store.look([RULE], NOW) == Reserved((1,))


async def test_giving_back_an_attempt_removes_the_lock_that_it_triggered(store: Store) -> None:
    await times(store, 3)
    await store.give_back([RULE], NOW)
    assert await store.reserve([RULE], NOW) == Reserved((3,))
    assert await store.look([RULE], NOW) == Held(0, NOW + 60)


async def test_giving_back_an_attempt_keeps_the_lock_that_another_attempt_triggered(store: Store) -> None:
    here, there = replace(RULE, lock="{t/u}:app:a"), replace(RULE, lock="{t/u}:app:b")
    await times(store, 3, here)
    await store.reserve([there], NOW)
    await store.give_back([there], NOW)
    assert await store.look([here], NOW) == Held(0, NOW + 60)
    assert await store.look([there], NOW) == Reserved((3,))


async def test_giving_back_an_attempt_after_a_restart_restores_the_count(store: Store) -> None:
    rule = replace(RULE, restart=True)
    await times(store, 3, rule)
    await store.give_back([rule], NOW)
    assert await store.look([rule], NOW) == Reserved((2,))


async def test_giving_back_the_one_attempt_of_a_cooldown_leaves_nothing(store: Store) -> None:
    cooldown = replace(RULE, steps=((1, 60.0),))
    await store.reserve([cooldown], NOW)
    await store.give_back([cooldown], NOW)
    assert await store.look([cooldown], NOW) == Reserved((0,))


async def test_giving_back_an_attempt_that_was_never_reserved_changes_nothing(store: Store) -> None:
    await store.give_back([RULE], NOW)
    assert await store.reserve([RULE], NOW) == Reserved((1,))


async def test_giving_back_an_attempt_does_not_extend_the_window(store: Store) -> None:
    rule = replace(RULE, steps=(), window=10.0)
    await times(store, 2, rule)
    await store.give_back([rule], NOW + 9)
    assert await store.look([rule], NOW + 10) == Reserved((0,))


async def test_giving_back_an_attempt_after_the_window_leaves_no_count(store: Store) -> None:
    rule = replace(RULE, window=10.0, steps=((2, 60.0),))
    await times(store, 2, rule)
    await store.give_back([rule], NOW + 11)
    assert await store.look([rule], NOW + 11) == Reserved((0,))


async def test_clear_removes_counts_and_locks(store: Store) -> None:
    await times(store, 3)
    await store.clear([RULE])
    assert await store.look([RULE], NOW) == Reserved((0,))


async def test_the_time_that_the_caller_passes_is_used_and_not_the_servers_clock(store: Store) -> None:
    long_ago = 1_000_000.0
    await times(store, 3, now=long_ago)
    assert await store.look([RULE], long_ago + 1) == Held(0, long_ago + 60)
    assert await store.look([RULE], long_ago + 60) == Reserved((3,))


@pytest.mark.parametrize("maximum", [1, 5])
async def test_200_parallel_reservations_never_exceed_the_maximum(store: Store, maximum: int) -> None:
    rule = replace(RULE, steps=((maximum, 60.0),))
    answers = await asyncio.gather(*(store.reserve([rule], NOW) for _ in range(200)))
    counts = sorted(a.counts[0] for a in answers if isinstance(a, Reserved))
    assert counts == list(range(1, maximum + 1))


# ------------------------------------------------------------------ messages, and the store itself


async def test_every_subscriber_receives_each_published_message(store: Store) -> None:
    async with store.subscribe("c") as one, store.subscribe("c") as two:
        await store.publish("c", b"\x00hello")
        assert await anext(one) == b"\x00hello"
        assert await anext(two) == b"\x00hello"


async def test_messages_arrive_in_order_and_only_from_the_subscribed_channel(store: Store) -> None:
    async with store.subscribe("c") as messages:
        await store.publish("other", b"0")
        for n in range(1, 100):
            await store.publish("c", b"%d" % n)
        assert [await anext(messages) for _ in range(1, 100)] == [b"%d" % n for n in range(1, 100)]


async def test_messages_published_before_the_subscription_are_not_received(store: Store) -> None:
    await store.publish("c", b"early")
    async with store.subscribe("c") as messages:
        await store.publish("c", b"late")
        assert await anext(messages) == b"late"


async def test_a_working_store_passes_its_check(store: Store) -> None:
    await store.check()


async def test_400_parallel_calls_are_all_answered(store: Store) -> None:
    await store.set("k", b"1", 60)
    assert await asyncio.gather(*(store.get("k") for _ in range(400))) == [b"1"] * 400
