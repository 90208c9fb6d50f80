"""Tests of typed records: read as written, and only at their key and until their expiry."""

import asyncio
import json
from dataclasses import dataclass, replace
from enum import Enum

import pytest
import structlog

from gateway.crypto.key_ring import KeyRing, Sealer
from gateway.domain import errors
from gateway.domain.ports import SystemRandom
from gateway.domain.session import Tokens
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Store
from gateway.store.records import Changed, RecordKey, Records
from tests.fixtures.clock import START, FakeClock


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Thing:
    count: int
    at: float = START
    colour: Colour = Colour.RED
    parts: tuple[Part, ...] = ()
    names: frozenset[str] = frozenset()
    maybe: Part | None = None
    tokens: Tokens | None = None


FULL = Thing(
    count=7,
    at=START + 0.123456,
    parts=(Part("a", bytes(range(256))), Part("ü\n")),
    names=frozenset({"x", "y"}),
    maybe=Part("b"),
    tokens=Tokens(access="a.b.c", refresh="r", access_expires_at=START, refresh_expires_at=None),
)


@pytest.fixture
def things(shared: Store, sealer: Sealer, clock: FakeClock) -> Records[Thing]:
    return make(shared, sealer, clock)


def make(
    store: Store, sealer: Sealer, clock: FakeClock, name: str = "thing", schema: int = 1, most: int = 0
) -> Records[Thing]:
    return Records(store=store, sealer=sealer, clock=clock, name=name, of=Thing, schema=schema, most=most)


def plus(value: Thing) -> Thing:
    return replace(value, count=value.count + 1)


async def test_a_value_of_every_type_is_read_as_written(things: Records[Thing]) -> None:
    await things.write("t", "k", FULL, START + 60)
    assert await things.read("t", "k") == FULL


async def asked(things: Records[Thing], key: str = "k") -> Thing | None:
    found: asyncio.Future[Thing | None] = asyncio.get_running_loop().create_future()
    things.ask("t", key, found.set_result)
    async with asyncio.timeout(10):
        return await found


async def test_a_question_finds_what_was_written_last(shared: Store, sealer: Sealer, clock: FakeClock) -> None:
    things = make(shared, sealer, clock, most=1)
    found = []
    for thing in (FULL, plus(FULL)):
        await things.write("t", "k", thing, START + 60)
        found += [await asked(things), await asked(things)]
    assert found == [FULL, FULL, plus(FULL), plus(FULL)]


async def test_of_the_same_bytes_the_value_is_the_same_object(shared: Store, sealer: Sealer, clock: FakeClock) -> None:
    things = make(shared, sealer, clock, most=1)
    await things.write("t", "k", FULL, START + 60)
    assert await asked(things) is await asked(things)


async def test_no_more_values_than_allowed_stay_opened(shared: Store, sealer: Sealer, clock: FakeClock) -> None:
    things = make(shared, sealer, clock, most=1)
    for key in ("k", "l"):
        await things.write("t", key, FULL, START + 60)
    first = await asked(things, "k")
    assert await asked(things, "l") == FULL
    assert await asked(things, "k") is not first


async def test_an_opened_value_is_not_found_past_its_expiry(shared: Store, sealer: Sealer, clock: FakeClock) -> None:
    things = make(shared, sealer, clock, most=1)
    await things.write("t", "k", FULL, START + 60)
    assert await asked(things) == FULL
    clock.advance(60)
    assert await asked(things) is None


@pytest.mark.parametrize("key", ["k", RecordKey("t g", 'r"é'), RecordKey("{a}/%", "\\")])
async def test_a_value_is_sealed_for_the_json_of_its_place_and_tenant(
    things: Records[Thing], key: str | RecordKey
) -> None:
    place, context = things._place("tenänt", key)
    assert context == json.dumps([place, "tenänt"])


async def test_an_unwritten_record_reads_none(things: Records[Thing]) -> None:
    assert await things.read("t", "k") is None


async def test_a_record_expires_by_the_injected_clock(things: Records[Thing], clock: FakeClock) -> None:
    await things.write("t", "k", FULL, START + 60)
    clock.advance(59.9)
    assert await things.read("t", "k") == FULL
    clock.advance(0.1)
    assert await things.read("t", "k") is None


async def test_add_writes_only_where_no_readable_record_exists(things: Records[Thing], clock: FakeClock) -> None:
    assert await things.add("t", "k", Thing(1), START + 60)
    assert not await things.add("t", "k", Thing(2), START + 120)
    clock.advance(60)
    assert await things.add("t", "k", Thing(3), START + 120)
    assert await things.read("t", "k") == Thing(3)


async def test_one_of_200_parallel_adds_writes(things: Records[Thing]) -> None:
    written = await asyncio.gather(*(things.add("t", "k", Thing(n), START + 60) for n in range(200)))
    assert sum(written) == 1


async def test_a_change_keeps_the_expiry(things: Records[Thing], clock: FakeClock) -> None:
    await things.write("t", "k", Thing(1), START + 60)
    assert await things.change("t", "k", plus) == Thing(2)
    clock.advance(60)
    assert await things.read("t", "k") is None


async def test_a_change_may_set_a_new_expiry(things: Records[Thing], clock: FakeClock) -> None:
    await things.write("t", "k", Thing(1), START + 60)
    await things.change("t", "k", lambda old: Changed(plus(old), START + 600))
    clock.advance(599)
    assert await things.read("t", "k") == Thing(2)


async def test_a_change_that_returns_none_writes_nothing(things: Records[Thing]) -> None:
    await things.write("t", "k", Thing(1), START + 60)
    assert await things.change("t", "k", lambda _: None) is None
    assert await things.read("t", "k") == Thing(1)


async def test_a_missing_record_is_not_changed(things: Records[Thing]) -> None:
    assert await things.change("t", "k", plus) is None
    assert await things.read("t", "k") is None


async def test_a_change_does_not_restore_a_removed_record(things: Records[Thing]) -> None:
    await things.write("t", "k", Thing(1), START + 60)
    assert await things.remove("t", "k")
    assert await things.change("t", "k", plus) is None
    assert not await things.remove("t", "k")


async def test_100_parallel_changes_on_two_replicas_are_all_applied(
    shared: Store, sealer: Sealer, clock: FakeClock
) -> None:
    one, two = make(shared, sealer, clock), make(shared, sealer, clock)
    await one.write("t", "k", Thing(0), START + 60)
    await asyncio.gather(*(records.change("t", "k", plus) for records in (one, two) for _ in range(50)))
    assert await one.read("t", "k") == Thing(100)


@pytest.mark.parametrize("seen", ["add", "read", "change"])
async def test_a_change_of_bytes_that_the_process_saw_last_reads_nothing(
    sealer: Sealer, clock: FakeClock, seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore(clock)
    things = make(store, sealer, clock)
    if seen == "read":
        await make(store, sealer, clock).add("t", "k", Thing(1), START + 60)
        await things.read("t", "k")
    else:
        await things.add("t", "k", Thing(1), START + 60)
    if seen == "change":
        await things.change("t", "k", lambda now: replace(now, names=frozenset({"changed"})))
    monkeypatch.setattr(store, "get", None)
    changed = await things.change("t", "k", plus)
    assert changed is not None
    assert changed.count == 2


async def test_a_change_is_applied_to_what_another_replica_wrote_since(
    shared: Store, sealer: Sealer, clock: FakeClock
) -> None:
    here, there = make(shared, sealer, clock), make(shared, sealer, clock)
    await here.add("t", "k", Thing(1), START + 60)
    await there.change("t", "k", plus)
    assert await here.change("t", "k", plus) == Thing(3)


async def test_a_change_that_writes_nothing_returns_what_another_replica_wrote_since(
    shared: Store, sealer: Sealer, clock: FakeClock
) -> None:
    here, there = make(shared, sealer, clock), make(shared, sealer, clock)
    await here.add("t", "k", Thing(1), START + 60)
    await there.change("t", "k", plus)
    assert await here.change("t", "k", lambda now: now) == Thing(2)


async def test_a_change_that_is_always_overtaken_raises_a_conflict(sealer: Sealer, clock: FakeClock) -> None:
    store = MemoryStore(clock)
    things = make(store, sealer, clock)
    await things.write("t", "k", Thing(0), START + 60)

    def overtaken(old: Thing) -> Thing:
        place, context = things._place("t", "k")
        store._keep(place, things._sealed(context, old, START + 60)[0], 60)  # another replica, each time
        return plus(old)

    with pytest.raises(errors.Conflict):
        await things.change("t", "k", overtaken)


async def test_a_value_moved_to_another_key_reads_none(sealer: Sealer, clock: FakeClock) -> None:
    store = MemoryStore(clock)
    things = make(store, sealer, clock)
    await things.write("t", "mine", Thing(1), START + 60)
    await things.write("t", "yours", Thing(2), START + 60)
    mine, yours = keys(store)
    await store.set(yours, await store.get(mine) or b"", 60)
    assert await things.read("t", "yours") is None


async def test_a_record_of_another_name_does_not_open(sealer: Sealer, clock: FakeClock) -> None:
    store = MemoryStore(clock)
    await make(store, sealer, clock).write("t", "k", Thing(1), START + 60)
    (place,) = keys(store)
    await store.set(place.replace("thing:", "other:"), await store.get(place) or b"", 60)
    assert await make(store, sealer, clock, name="other").read("t", "k") is None


@pytest.mark.row("GW-11")
async def test_two_tenants_share_no_record(things: Records[Thing]) -> None:
    await things.write("a", "k", Thing(1), START + 60)
    assert await things.read("b", "k") is None


async def test_names_with_separators_do_not_collide(things: Records[Thing]) -> None:
    await things.write("a/b", "c", Thing(1), START + 60)
    await things.write("a", "b/c", Thing(2), START + 60)
    await things.write("a", RecordKey("b", "}:c"), Thing(3), START + 60)
    await things.write("a", RecordKey("b}:", "c"), Thing(4), START + 60)
    assert await things.read("a/b", "c") == Thing(1)
    assert await things.read("a", "b/c") == Thing(2)
    assert await things.read("a", RecordKey("b", "}:c")) == Thing(3)


async def test_keys_with_one_tag_share_the_hash_slot(sealer: Sealer, clock: FakeClock) -> None:
    store = MemoryStore(clock)
    await make(store, sealer, clock).write("t", RecordKey("tag", "rest"), Thing(1), START + 60)
    assert keys(store) == ["thing:{t/tag}:rest"]


@pytest.mark.parametrize("damage", [b"", b"\x01", bytes(100), b"not sealed at all"])
async def test_an_unopenable_value_reads_none_and_only_its_record_name_is_logged(
    damage: bytes, sealer: Sealer, clock: FakeClock
) -> None:
    store = MemoryStore(clock)
    things = make(store, sealer, clock)
    await things.write("t", "hush", Thing(1), START + 60)
    await store.set(keys(store)[0], damage, 60)
    with structlog.testing.capture_logs() as logs:
        assert await things.read("t", "hush") is None
    assert [(line["event"], line["record"]) for line in logs] == [("record_unopenable", "thing")]
    assert "hush" not in repr(logs)


async def test_an_unopenable_value_may_be_overwritten(sealer: Sealer, clock: FakeClock) -> None:
    store = MemoryStore(clock)
    things = make(store, sealer, clock)
    await things.write("t", "k", Thing(1), START + 60)
    await store.set(keys(store)[0], b"damaged", 60)
    assert await things.add("t", "k", Thing(2), START + 60)


async def test_a_record_of_another_schema_reads_none(shared: Store, sealer: Sealer, clock: FakeClock) -> None:
    await make(shared, sealer, clock, schema=2).write("t", "k", Thing(1), START + 60)
    assert await make(shared, sealer, clock, schema=1).read("t", "k") is None


async def test_a_value_that_does_not_validate_reads_none_and_is_not_quoted_in_the_log(
    shared: Store, sealer: Sealer, clock: FakeClock
) -> None:
    old = Records(store=shared, sealer=sealer, clock=clock, name="thing", of=Part)
    await old.write("t", "k", Part("hush-hush"), START + 60)
    with structlog.testing.capture_logs() as logs:
        assert await make(shared, sealer, clock).read("t", "k") is None
    assert "hush" not in repr(logs)


async def test_another_key_ring_opens_no_record(shared: Store, sealer: Sealer, ring: KeyRing, clock: FakeClock) -> None:
    await make(shared, sealer, clock).write("t", "k", Thing(1), START + 60)
    stranger = Sealer(KeyRing((ring.keys[1],)), "records", SystemRandom())
    assert await make(shared, stranger, clock).read("t", "k") is None


async def test_the_store_does_not_show_the_value(sealer: Sealer, clock: FakeClock) -> None:
    store = MemoryStore(clock)
    await make(store, sealer, clock).write("t", "k", Thing(1, parts=(Part("hush-hush"),)), START + 60)
    assert b"hush" not in (await store.get(keys(store)[0]) or b"")


def keys(store: MemoryStore) -> list[str]:
    return list(store._kept)
