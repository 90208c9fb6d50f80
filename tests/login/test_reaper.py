"""Is the Keycloak session of a dead login ended once, whatever happens to replicas and store meanwhile?"""

from dataclasses import replace

import pytest

from gateway.crypto.sealing import KEY_BYTES, Key, KeyRing, Sealer
from gateway.domain import errors
from gateway.domain.secret import Secret
from gateway.domain.session import Tokens
from gateway.domain.tenant import Tenant
from gateway.login.login_records import Slot, Spent
from gateway.login.reaper import Reaper
from gateway.login.record import Login, Opened
from gateway.settings.snapshot import Address, Configuration, GatewaySettings, StoreSettings
from gateway.store.memory import MemoryStore
from gateway.store.once import Once
from gateway.store.records import Key as Place
from gateway.store.records import Records
from tests.clock import FakeClock, SeededChance
from tests.login.plays import TOKENS, begun
from tests.web.sample import TENANT

DEAD_AFTER = 960
"""Seconds after which nobody goes on with a login, and its minute has come."""


class Stumbling(MemoryStore):
    """Fails to read records a number of times."""

    failures = 0

    async def get(self, key: str) -> bytes | None:
        if self.failures and key.startswith("login:"):
            self.failures -= 1
            raise errors.Unreachable("store", "TimeoutError")
        return await super().get(key)


class Desk:
    """One store, as many reapers as wanted, and what Keycloak was told to end."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Stumbling(self.clock)
        chance = SeededChance()
        ring = KeyRing((Key("00000001", chance.token_bytes(KEY_BYTES)),))
        self.logins = Records(
            store=self.store, sealer=Sealer(ring, "login", chance), clock=self.clock, name="login", of=Slot
        )
        here = Address("127.0.0.1", 1)
        settings = GatewaySettings(here, here, StoreSettings(Secret("memory://")))
        self.tenant = replace(TENANT, id="expertflow")
        self.configuration = Configuration(settings, (self.tenant,), {})
        self.ended: list[str] = []

    def reaper(self) -> Reaper:
        return Reaper(
            self.store,
            Once(self.store, self.clock),
            self.logins,
            self.clock,
            lambda: self.configuration,
            self._end,
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
def desk() -> Desk:
    return Desk()


async def test_a_dead_login_is_ended_once_by_one_replica(desk: Desk) -> None:
    await desk.begin()
    desk.clock.advance(DEAD_AFTER)
    looked = [await desk.reaper().look() for _ in range(3)]
    assert (looked, desk.ended) == ([1, 0, 0], ["refresh l1"])


async def test_a_living_login_is_left_alone(desk: Desk) -> None:
    await desk.begin()
    desk.clock.advance(600)
    assert await desk.reaper().look() == 0


async def test_a_login_that_went_on_is_looked_at_again_when_it_may_be_dead(desk: Desk) -> None:
    login = await desk.begin()
    desk.clock.advance(600)
    moved = replace(login, moved_at=desk.clock.now())
    await desk.write(moved, desk.clock.now() + 1800)
    desk.clock.advance(360)
    assert await desk.reaper().look() == 0
    desk.clock.advance(600)
    assert await desk.reaper().look() == 1


async def test_a_reaper_that_looks_every_half_minute_misses_no_dead_login(desk: Desk) -> None:
    desk.clock.advance(45)
    await desk.begin()
    desk.clock.advance(10)
    for _ in range(DEAD_AFTER // 30 + 1):
        desk.clock.advance(30)
        await desk.reaper().look()
    assert desk.ended == ["refresh l1"]


async def test_a_login_that_waited_for_its_code_for_hours_is_ended_too(desk: Desk) -> None:
    login = await desk.begin()
    slot = desk.clock.now() + 5 * 3600
    waits = replace(login, queued_until=slot, held_until=slot)
    await desk.write(waits, slot + 3600)
    await desk.reaper().note(desk.tenant, waits)
    desk.clock.advance(5 * 3600 + DEAD_AFTER)
    assert await desk.reaper().look() == 1


async def test_the_session_of_a_login_that_opened_one_is_never_ended(desk: Desk) -> None:
    login = await desk.begin()
    opened = replace(login, opened=Opened("session", desk.clock.now()))
    await desk.write(login, desk.clock.now() + 1800, Spent("", desk.clock.now(), opened))
    desk.clock.advance(DEAD_AFTER)
    assert await desk.reaper().look() == 0


@pytest.mark.parametrize("note", [b"", b"{", b"1", b"[]", b'["a", "b", "c", "d"]'])
async def test_a_note_that_another_version_wrote_keeps_nobody_from_the_others(desk: Desk, note: bytes) -> None:
    minute = int((desk.clock.now() + 900) // 60) + 1
    await desk.begin()
    await desk.store.append(f"dying:{minute}", note, 10, 7200)
    desk.clock.advance(DEAD_AFTER)
    assert await desk.reaper().look() == 1


async def test_a_store_that_stumbles_forgets_no_dead_login(desk: Desk) -> None:
    await desk.begin()
    desk.clock.advance(DEAD_AFTER)
    desk.store.failures = 1
    with pytest.raises(errors.Unreachable):
        await desk.reaper().look()
    assert await desk.reaper().look() == 1


async def test_replicas_that_were_away_for_a_while_find_what_died_meanwhile(desk: Desk) -> None:
    await desk.begin()
    desk.clock.advance(DEAD_AFTER + 720)
    assert await desk.reaper().look() == 1


async def test_a_login_that_goes_on_under_a_new_secret_is_ended_under_that_one(desk: Desk) -> None:
    login = await desk.begin()
    desk.clock.advance(600)
    now = desk.clock.now()
    moved = replace(login, key="a newer key", moved_at=now)
    await desk.write(login, now + 1800, Spent("form", now, moved, "a newer key"))
    await desk.write(moved, now + 1800)
    await desk.reaper().note(desk.tenant, moved)
    desk.clock.advance(360)
    assert await desk.reaper().look() == 0
    desk.clock.advance(600)
    assert (await desk.reaper().look(), desk.ended) == (1, ["refresh l1"])


async def test_a_login_that_goes_on_while_the_reaper_looks_is_left_alone(desk: Desk) -> None:
    first = await desk.begin()
    desk.clock.advance(DEAD_AFTER)
    reaper = desk.reaper()
    now = desk.clock.now()
    await desk.write(first, now + 1800, Spent("form", now, first, "a newer key"))

    class Stale(Records[Slot]):
        async def read(self, tenant: str, key: object) -> Slot:
            return Slot(first)  # as it was a moment ago

    chance = SeededChance()
    ring = KeyRing((Key("00000001", chance.token_bytes(KEY_BYTES)),))
    reaper.logins = Stale(
        store=desk.store, sealer=Sealer(ring, "login", chance), clock=desk.clock, name="login", of=Slot
    )
    assert (await reaper.look(), desk.ended) == (0, [])
