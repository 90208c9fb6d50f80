"""Tests that the Keycloak session of an abandoned login is ended once, with failing replicas and stores."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from gateway.crypto.key_ring import KEY_BYTES, Key, KeyRing, Sealer
from gateway.domain import errors
from gateway.domain.configuration import Address, Configuration, GatewaySettings, StoreSettings
from gateway.domain.secret import Secret
from gateway.domain.session import Tokens
from gateway.domain.tenant import Tenant
from gateway.login.login_records import LoginRecords
from gateway.login.record import Login, Opened, Slot, Spent, Verification
from gateway.store.memory import MemoryStore
from gateway.store.records import RecordKey as Place
from gateway.store.records import Records
from gateway.store.single_use import SingleUse
from tests.fixtures.clock import FakeClock, SeededRandom
from tests.fixtures.event_scripts import TOKENS, begun
from tests.fixtures.sample_tenants import TENANT

ABANDONED_AFTER = 960
"""Seconds after which a login counts as abandoned, rounded up to its minute."""


class FailingStore(MemoryStore):
    """A store that fails a number of reads."""

    failures = 0

    async def get(self, key: str) -> bytes | None:
        if self.failures and key.startswith("login:"):
            self.failures -= 1
            raise errors.Unreachable("store", "TimeoutError")
        return await super().get(key)


class ReplicaHarness:
    """One store, any number of reapers, and the sessions ended at Keycloak."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FailingStore(self.clock)
        random = SeededRandom()
        ring = KeyRing((Key("00000001", random.token_bytes(KEY_BYTES)),))
        self.logins = Records(
            store=self.store, sealer=Sealer(ring, "login", random), clock=self.clock, name="login", of=Slot
        )
        here = Address("127.0.0.1", 1)
        settings = GatewaySettings(here, here, StoreSettings(Secret("memory://")))
        self.tenant = replace(TENANT, id="expertflow")
        self.configuration = Configuration(settings, (self.tenant,), {})
        self.ended: list[str] = []

    def reaper(self) -> LoginRecords:
        return LoginRecords(
            self.logins,
            self.store,
            SingleUse(self.store, self.clock),
            self.clock,
            lambda: self.configuration,
            SimpleNamespace(begin=self._end),  # type: ignore[arg-type]
        )

    def _end(self, tenant: Tenant, tokens: Tokens) -> None:
        self.ended.append(tokens.refresh)

    async def begin(self, name: str = "l1") -> Login:
        """Returns a login with a correct password."""
        now = self.clock.now()
        tokens = replace(TOKENS, refresh=f"refresh {name}")
        login = replace(begun(), id=name, key=f"key of {name}", begun_at=now, moved_at=now, tokens=tokens)
        await self.write(login, now + 1800)
        await self.reaper().note(self.tenant, login)
        return login

    async def write(self, login: Login, until: float, spent: Spent | None = None) -> None:
        """Writes the record of the login's secret."""
        slot = Slot(spent=spent) if spent else Slot(login)
        await self.logins.write("expertflow", Place(login.tag, login.key), slot, until)


@pytest.fixture
def flow_harness() -> ReplicaHarness:
    return ReplicaHarness()


async def test_an_abandoned_login_is_ended_once_by_one_replica(flow_harness: ReplicaHarness) -> None:
    await flow_harness.begin()
    flow_harness.clock.advance(ABANDONED_AFTER)
    looked = [await flow_harness.reaper().end_abandoned() for _ in range(3)]
    assert (looked, flow_harness.ended) == ([1, 0, 0], ["refresh l1"])


async def test_an_active_login_is_not_ended(flow_harness: ReplicaHarness) -> None:
    await flow_harness.begin()
    flow_harness.clock.advance(600)
    assert await flow_harness.reaper().end_abandoned() == 0


async def test_a_login_that_continued_is_checked_again_when_it_may_be_abandoned(flow_harness: ReplicaHarness) -> None:
    login = await flow_harness.begin()
    flow_harness.clock.advance(600)
    moved = replace(login, moved_at=flow_harness.clock.now())
    await flow_harness.write(moved, flow_harness.clock.now() + 1800)
    flow_harness.clock.advance(360)
    assert await flow_harness.reaper().end_abandoned() == 0
    flow_harness.clock.advance(600)
    assert await flow_harness.reaper().end_abandoned() == 1


async def test_checking_every_half_minute_finds_every_abandoned_login(flow_harness: ReplicaHarness) -> None:
    flow_harness.clock.advance(45)
    await flow_harness.begin()
    flow_harness.clock.advance(10)
    for _ in range(ABANDONED_AFTER // 30 + 1):
        flow_harness.clock.advance(30)
        await flow_harness.reaper().end_abandoned()
    assert flow_harness.ended == ["refresh l1"]


async def test_a_login_that_waited_hours_for_its_code_is_ended_too(flow_harness: ReplicaHarness) -> None:
    login = await flow_harness.begin()
    slot = flow_harness.clock.now() + 5 * 3600
    waits = replace(login, verification=Verification(queued_until=slot, held_until=slot))
    await flow_harness.write(waits, slot + 3600)
    await flow_harness.reaper().note(flow_harness.tenant, waits)
    flow_harness.clock.advance(5 * 3600 + ABANDONED_AFTER)
    assert await flow_harness.reaper().end_abandoned() == 1


async def test_the_keycloak_session_of_an_opened_login_is_never_ended(flow_harness: ReplicaHarness) -> None:
    login = await flow_harness.begin()
    opened = replace(login, opened=Opened("session", flow_harness.clock.now()))
    await flow_harness.write(login, flow_harness.clock.now() + 1800, Spent("", flow_harness.clock.now(), opened))
    flow_harness.clock.advance(ABANDONED_AFTER)
    assert await flow_harness.reaper().end_abandoned() == 0


@pytest.mark.parametrize("note", [b"", b"{", b"1", b"[]", b'["a", "b", "c", "d"]'])
async def test_an_unreadable_note_hides_no_other_note(flow_harness: ReplicaHarness, note: bytes) -> None:
    minute = int((flow_harness.clock.now() + 900) // 60) + 1
    await flow_harness.begin()
    await flow_harness.store.append(f"dying:{minute}", note, 10, 7200)
    flow_harness.clock.advance(ABANDONED_AFTER)
    assert await flow_harness.reaper().end_abandoned() == 1


async def test_after_a_store_failure_an_abandoned_login_is_still_ended(flow_harness: ReplicaHarness) -> None:
    await flow_harness.begin()
    flow_harness.clock.advance(ABANDONED_AFTER)
    flow_harness.store.failures = 1
    with pytest.raises(errors.Unreachable):
        await flow_harness.reaper().end_abandoned()
    assert await flow_harness.reaper().end_abandoned() == 1


async def test_replicas_find_logins_abandoned_during_their_downtime(flow_harness: ReplicaHarness) -> None:
    await flow_harness.begin()
    flow_harness.clock.advance(ABANDONED_AFTER + 720)
    assert await flow_harness.reaper().end_abandoned() == 1


async def test_a_login_with_a_new_secret_is_ended_under_that_secret(flow_harness: ReplicaHarness) -> None:
    login = await flow_harness.begin()
    flow_harness.clock.advance(600)
    now = flow_harness.clock.now()
    moved = replace(login, key="a newer key", moved_at=now)
    await flow_harness.write(login, now + 1800, Spent("form", now, moved, "a newer key"))
    await flow_harness.write(moved, now + 1800)
    await flow_harness.reaper().note(flow_harness.tenant, moved)
    flow_harness.clock.advance(360)
    assert await flow_harness.reaper().end_abandoned() == 0
    flow_harness.clock.advance(600)
    assert (await flow_harness.reaper().end_abandoned(), flow_harness.ended) == (1, ["refresh l1"])


async def test_a_login_that_continues_during_the_check_is_not_ended(flow_harness: ReplicaHarness) -> None:
    first = await flow_harness.begin()
    flow_harness.clock.advance(ABANDONED_AFTER)
    reaper = flow_harness.reaper()
    now = flow_harness.clock.now()
    await flow_harness.write(first, now + 1800, Spent("form", now, first, "a newer key"))

    class Stale(Records[Slot]):
        async def read(self, tenant: str, key: object) -> Slot:
            return Slot(first)  # the record before the change

    random = SeededRandom()
    ring = KeyRing((Key("00000001", random.token_bytes(KEY_BYTES)),))
    stale = Stale(
        store=flow_harness.store, sealer=Sealer(ring, "login", random), clock=flow_harness.clock, name="login", of=Slot
    )
    reaper = replace(flow_harness.reaper(), records=stale)
    assert (await reaper.end_abandoned(), flow_harness.ended) == (0, [])
