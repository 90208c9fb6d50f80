"""Tests of the index of sessions by user."""

import asyncio

import pytest

from gateway.crypto.key_ring import KEY_BYTES, Key, KeyRing, Sealer
from gateway.sessions.session_key import SessionKey
from gateway.sessions.user_index import IndexEntry, UserIndex
from tests.fixtures.clock import FakeClock, SeededRandom
from tests.fixtures.open_stores import YieldingStore


@pytest.mark.row("GW-10")
async def test_sessions_that_a_user_opens_at_the_same_time_on_several_replicas_are_all_found() -> None:
    clock, random = FakeClock(), SeededRandom()
    ring = KeyRing((Key("00000001", random.token_bytes(KEY_BYTES)),))
    store, sealer = YieldingStore(clock), Sealer(ring, "session", random)
    replicas = [UserIndex(store=store, sealer=sealer, clock=clock) for _ in range(8)]
    entries = [
        IndexEntry(f"s{n}", SessionKey("t", f"tag{n}", f"digest{n}"), "u1", clock.now() + 3600) for n in range(8)
    ]
    await asyncio.gather(*(index.note(entry) for index, entry in zip(replicas, entries, strict=True)))
    assert {entry.id for entry in await replicas[0].of_user("t", "u1")} == {entry.id for entry in entries}
