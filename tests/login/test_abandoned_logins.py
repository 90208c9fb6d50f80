"""Is the Keycloak session of a dead login ended once, whatever happens to replicas and store meanwhile?"""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from gateway.crypto.sealing import KEY_BYTES, Key, KeyRing, Sealer
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
from tests.clock import FakeClock, SeededRandom
from tests.login.event_scripts import TOKENS, begun
from tests.web.sample import TENANT

DEAD_AFTER = 960
"""Seconds after which no user continues a login, and its minute is over."""


class Stumbling(MemoryStore):
    """Fails to read records a number of times."""

    failures = 0

    async def get(self, key: str) -> bytes | None:
        if self.failures and key.startswith("login:"):
            self.failures -= 1
            raise errors.Unreachable("store", "TimeoutError")
        return await super().get(key)


class ReplicaHarness:
    """One store, as many reapers as wanted, and what Keycloak was told to end."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Stumbling(self.clock)
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
        """A login whose password was right."""
        now = self.clock.now()
        tokens = replace(TOKENS, refresh=f"refresh {name}")
        login = replace(begun(), id=name, key=f"key of {name}", begun_at=now, moved_at=now, tokens=tokens)
        await self.write(login, now + 1800)
        await self.reaper().note(self.tenant, login)
        return login

    async def write(self, login: Login, until: float, spent: Spent | None = None) -> None:
        """What stands under the login's secret."""
        slot = Slot(spent=spent) if spent else Slot(login)
        await self.logins.write("expertflow", Place(login.tag, login.key), slot, until)


@pytest.fixture
def flow_harness() -> ReplicaHarness:
    return ReplicaHarness()


async def test_a_dead_login_is_ended_once_by_one_replica(flow_harness: ReplicaHarness) -> None:
    await flow_harness.begin()
    flow_harness.clock.advance(DEAD_AFTER)
    looked = [await flow_harness.reaper().end_abandoned() for _ in range(3)]
    assert (looked, flow_harness.ended) == ([1, 0, 0], ["refresh l1"])


async def test_a_living_login_is_left_alone(flow_harness: ReplicaHarness) -> None:
    await flow_harness.begin()
    flow_harness.clock.advance(600)
    assert await flow_harness.reaper().end_abandoned() == 0


async def test_a_login_that_went_on_is_looked_at_again_when_it_may_be_dead(flow_harness: ReplicaHarness) -> None:
    login = await flow_harness.begin()
    flow_harness.clock.advance(600)
    moved = replace(login, moved_at=flow_harness.clock.now())
    await flow_harness.write(moved, flow_harness.clock.now() + 1800)
    flow_harness.clock.advance(360)
    assert await flow_harness.reaper().end_abandoned() == 0
    flow_harness.clock.advance(600)
    assert await flow_harness.reaper().end_abandoned() == 1


async def test_a_reaper_that_looks_every_half_minute_misses_no_dead_login(flow_harness: ReplicaHarness) -> None:
    flow_harness.clock.advance(45)
    await flow_harness.begin()
    flow_harness.clock.advance(10)
    for _ in range(DEAD_AFTER // 30 + 1):
        flow_harness.clock.advance(30)
        await flow_harness.reaper().end_abandoned()
    assert flow_harness.ended == ["refresh l1"]


async def test_a_login_that_waited_for_its_code_for_hours_is_ended_too(flow_harness: ReplicaHarness) -> None:
    login = await flow_harness.begin()
    slot = flow_harness.clock.now() + 5 * 3600
    waits = replace(login, verification=Verification(queued_until=slot, held_until=slot))
    await flow_harness.write(waits, slot + 3600)
    await flow_harness.reaper().note(flow_harness.tenant, waits)
    flow_harness.clock.advance(5 * 3600 + DEAD_AFTER)
    assert await flow_harness.reaper().end_abandoned() == 1


async def test_the_session_of_a_login_that_opened_one_is_never_ended(flow_harness: ReplicaHarness) -> None:
    login = await flow_harness.begin()
    opened = replace(login, opened=Opened("session", flow_harness.clock.now()))
    await flow_harness.write(login, flow_harness.clock.now() + 1800, Spent("", flow_harness.clock.now(), opened))
    flow_harness.clock.advance(DEAD_AFTER)
    assert await flow_harness.reaper().end_abandoned() == 0


@pytest.mark.parametrize("note", [b"", b"{", b"1", b"[]", b'["a", "b", "c", "d"]'])
async def test_a_note_of_another_version_hides_no_other_note(flow_harness: ReplicaHarness, note: bytes) -> None:
    minute = int((flow_harness.clock.now() + 900) // 60) + 1
    await flow_harness.begin()
    await flow_harness.store.append(f"dying:{minute}", note, 10, 7200)
    flow_harness.clock.advance(DEAD_AFTER)
    assert await flow_harness.reaper().end_abandoned() == 1


async def test_a_store_that_stumbles_forgets_no_dead_login(flow_harness: ReplicaHarness) -> None:
    await flow_harness.begin()
    flow_harness.clock.advance(DEAD_AFTER)
    flow_harness.store.failures = 1
    with pytest.raises(errors.Unreachable):
        await flow_harness.reaper().end_abandoned()
    assert await flow_harness.reaper().end_abandoned() == 1


async def test_replicas_that_were_away_for_a_while_find_what_died_meanwhile(flow_harness: ReplicaHarness) -> None:
    await flow_harness.begin()
    flow_harness.clock.advance(DEAD_AFTER + 720)
    assert await flow_harness.reaper().end_abandoned() == 1


async def test_a_login_that_goes_on_under_a_new_secret_is_ended_under_that_one(flow_harness: ReplicaHarness) -> None:
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


async def test_a_login_that_goes_on_while_the_reaper_looks_is_left_alone(flow_harness: ReplicaHarness) -> None:
    first = await flow_harness.begin()
    flow_harness.clock.advance(DEAD_AFTER)
    now = flow_harness.clock.now()
    await flow_harness.write(first, now + 1800, Spent("form", now, first, "a newer key"))

    class Stale(Records[Slot]):
        async def read(self, tenant: str, key: object) -> Slot:
            return Slot(first)  # as it was a moment ago

    random = SeededRandom()
    ring = KeyRing((Key("00000001", random.token_bytes(KEY_BYTES)),))
    stale = Stale(
        store=flow_harness.store, sealer=Sealer(ring, "login", random), clock=flow_harness.clock, name="login", of=Slot
    )
    reaper = replace(flow_harness.reaper(), records=stale)
    assert (await reaper.end_abandoned(), flow_harness.ended) == (0, [])
