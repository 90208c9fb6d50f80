"""Tests of single use: consumed once and claimed once on all replicas."""

import asyncio

import pytest

from gateway.store.memory import MemoryStore
from gateway.store.protocol import Store
from gateway.store.single_use import SingleUse
from tests.fixtures.clock import FakeClock


@pytest.mark.row("EF-13")
async def test_the_first_owner_consumes_the_value(shared: Store, clock: FakeClock) -> None:
    once = SingleUse(shared, clock)
    assert await once.consume("t", ("code", "1"), "one", 60)
    assert not await once.consume("t", ("code", "1"), "two", 60)


async def test_the_same_owner_gets_the_same_positive_answer(shared: Store, clock: FakeClock) -> None:
    one, other_replica = SingleUse(shared, clock), SingleUse(shared, clock)
    assert await one.consume("t", ("code", "1"), "one", 60)
    assert await other_replica.consume("t", ("code", "1"), "one", 60)


async def test_one_of_200_parallel_owners_consumes_the_value(shared: Store, clock: FakeClock) -> None:
    replicas = SingleUse(shared, clock), SingleUse(shared, clock)
    answers = await asyncio.gather(*(replicas[n % 2].consume("t", ("code", "1"), f"owner {n}", 60) for n in range(200)))
    assert sum(answers) == 1


async def test_200_parallel_double_clicks_of_one_owner_all_get_the_positive_answer(
    shared: Store, clock: FakeClock
) -> None:
    once = SingleUse(shared, clock)
    assert all(await asyncio.gather(*(once.consume("t", ("code", "1"), "one", 60) for _ in range(200))))


async def test_a_consumed_value_can_be_consumed_again_after_its_time(shared: Store, clock: FakeClock) -> None:
    once = SingleUse(shared, clock)
    await once.consume("t", ("code", "1"), "one", 60)
    clock.advance(59.9)
    assert not await once.consume("t", ("code", "1"), "two", 60)
    clock.advance(0.1)
    assert await once.consume("t", ("code", "1"), "two", 60)
    assert not await once.consume("t", ("code", "1"), "one", 60)


@pytest.mark.row("GW-11")
async def test_two_tenants_consume_separately(shared: Store, clock: FakeClock) -> None:
    once = SingleUse(shared, clock)
    assert await once.consume("a", ("code", "1"), "one", 60)
    assert await once.consume("b", ("code", "1"), "two", 60)


async def test_values_that_differ_in_their_division_into_parts_are_distinct(shared: Store, clock: FakeClock) -> None:
    once = SingleUse(shared, clock)
    assert await once.consume("t", ("a", "bc"), "one", 60)
    assert await once.consume("t", ("ab", "c"), "two", 60)


async def test_the_store_shows_neither_consumed_values_nor_owners(clock: FakeClock) -> None:
    store = MemoryStore(clock)
    await SingleUse(store, clock).consume("t", ("code", "hush"), "hush too", 60)
    assert "hush" not in repr(store._kept)


async def test_a_claim_is_refused_a_second_time_even_to_its_owner(shared: Store, clock: FakeClock) -> None:
    once = SingleUse(shared, clock)
    assert await once.claim("t", ("grant", "1"), 30, owner="one")
    assert not await once.claim("t", ("grant", "1"), 30, owner="one")


async def test_one_of_200_parallel_claims_is_given(shared: Store, clock: FakeClock) -> None:
    replicas = SingleUse(shared, clock), SingleUse(shared, clock)
    answers = await asyncio.gather(*(replicas[n % 2].claim("t", ("send", "1"), 30) for n in range(200)))
    assert sum(answers) == 1


async def test_a_released_claim_can_be_claimed_again(shared: Store, clock: FakeClock) -> None:
    once = SingleUse(shared, clock)
    await once.claim("t", ("grant", "1"), 30)
    await once.release("t", ("grant", "1"))
    assert await once.claim("t", ("grant", "1"), 30)


async def test_an_expired_claim_can_be_claimed_again(shared: Store, clock: FakeClock) -> None:
    once = SingleUse(shared, clock)
    await once.claim("t", ("grant", "1"), 30)
    clock.advance(30)
    assert await once.claim("t", ("grant", "1"), 30)


async def test_a_late_release_does_not_free_the_next_claim(shared: Store, clock: FakeClock) -> None:
    once = SingleUse(shared, clock)
    await once.claim("t", ("grant", "1"), 30, owner="slow")
    clock.advance(30)
    await once.claim("t", ("grant", "1"), 30, owner="next")
    await once.release("t", ("grant", "1"), owner="slow")
    assert not await once.claim("t", ("grant", "1"), 30, owner="third")


async def test_claims_and_consumed_values_are_kept_apart(shared: Store, clock: FakeClock) -> None:
    once = SingleUse(shared, clock)
    await once.claim("t", ("x", "1"), 30)
    assert await once.consume("t", ("x", "1"), "one", 60)
