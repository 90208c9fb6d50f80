"""Tests of sealed enrolments and the version guard, with a profile that an attacker can write."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.crypto.key_ring import KEY_BYTES, Key, KeyRing, Sealer
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.errors import Conflict, Unreachable
from gateway.domain.policy import FactorKind
from gateway.domain.ports import SystemRandom
from gateway.domain.tenant import KeycloakAccess, Tenant
from gateway.domain.user import Account, User
from gateway.keycloak.user_profile_schema import ATTRIBUTE
from gateway.keycloak.users import values_of
from gateway.observe.audit import Audit
from gateway.second_factor.enrolments import Enrolments, Tampered
from gateway.store.locks import StoreLock
from tests.fixtures.clock import FakeClock, SeededRandom
from tests.fixtures.keycloak_attributes import Attributes
from tests.fixtures.open_stores import YieldingStore
from tests.fixtures.sample_tenants import TENANT

EMAIL = Enrolment(FactorKind.EMAIL, "user@example.com")
OTHER = Enrolment(FactorKind.EMAIL, "attacker@example.com")


class Bench:
    """Enrolments over attributes and a store that tests may lose."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.random = SeededRandom()
        self.ring = KeyRing((Key("00000001", self.random.token_bytes(KEY_BYTES)),))
        self.profile = Attributes()
        self.unguarded: list[str] = []
        self.lose_store()

    def lose_store(self) -> None:
        """Replaces the store by a new, empty one."""
        self.store = YieldingStore(self.clock)
        self.enrolments = Enrolments(
            profile=self.profile,
            store=self.store,
            sets=Sealer(self.ring, "enrolments", self.random),
            guards=Sealer(self.ring, "guards", self.random),
            lock=StoreLock(self.store, self.clock, self.random),
            clock=self.clock,
            audit=Audit(self.clock, tell=self._audited),
        )

    def _audited(self, line: str) -> None:
        audited = json.loads(line)
        if audited["event"] == "enrolment_unguarded":
            self.unguarded.append(audited["user_id"])

    async def enrol(self, user: str, enrolment: Enrolment = EMAIL, tenant: Tenant = TENANT) -> EnrolmentSet:
        """Enrols as a login does."""
        seen = await self.enrolments.read(tenant, user)
        assert isinstance(seen, EnrolmentSet)
        added = await self.enrolments.add(tenant, user, seen, enrolment)
        assert added
        return added


@pytest.fixture
def harness() -> Bench:
    return Bench()


@pytest.mark.row("EF-11")
async def test_saved_enrolments_are_read_by_the_next_login(harness: Bench) -> None:
    await harness.enrol("u1")
    read = await harness.enrolments.read(TENANT, "u1")
    assert isinstance(read, EnrolmentSet)
    assert [e.address for e in read.enrolments] == ["user@example.com"]


async def test_a_user_without_stored_enrolments_is_not_enrolled(harness: Bench) -> None:
    assert await harness.enrolments.read(TENANT, "u1") == EnrolmentSet()


@pytest.mark.row("GW-29")
@pytest.mark.attack("F2")
async def test_deleted_enrolments_stop_the_login(harness: Bench) -> None:
    await harness.enrol("u1")
    del harness.profile.values["u1"]
    assert await harness.enrolments.read(TENANT, "u1") == Tampered("missing")


@pytest.mark.row("GW-29")
@pytest.mark.attack("F2")
async def test_edited_enrolments_stop_the_login(harness: Bench) -> None:
    await harness.enrol("u1")
    sealed = harness.profile.values["u1"]
    harness.profile.values["u1"] = sealed[:-4] + ("AAAA" if sealed[-4:] != "AAAA" else "BBBB")
    assert await harness.enrolments.read(TENANT, "u1") == Tampered("unopenable")


@pytest.mark.row("GW-29")
@pytest.mark.attack("F2")
async def test_restored_older_enrolments_stop_the_login(harness: Bench) -> None:
    await harness.enrol("u1", OTHER)
    old = harness.profile.values["u1"]
    await harness.enrol("u1", EMAIL)
    harness.profile.values["u1"] = old
    assert await harness.enrolments.read(TENANT, "u1") == Tampered("older")


@pytest.mark.row("GW-29")
@pytest.mark.attack("F2")
async def test_other_enrolments_of_the_same_version_stop_the_login(harness: Bench) -> None:
    twin = Bench()
    twin.ring = harness.ring
    twin.lose_store()
    await twin.enrol("u1", OTHER)
    await harness.enrol("u1", EMAIL)
    harness.profile.values["u1"] = twin.profile.values["u1"]
    assert await harness.enrolments.read(TENANT, "u1") == Tampered("altered")


@pytest.mark.row("GW-29")
@pytest.mark.attack("F2")
async def test_enrolments_copied_from_another_user_do_not_open(harness: Bench) -> None:
    await harness.enrol("u1")
    harness.profile.values["u2"] = harness.profile.values["u1"]
    assert await harness.enrolments.read(TENANT, "u2") == Tampered("unopenable")


@pytest.mark.row("GW-29")
@pytest.mark.row("GW-11")
@pytest.mark.attack("F25")
async def test_enrolments_copied_from_another_tenant_of_the_same_realm_do_not_open(harness: Bench) -> None:
    await harness.enrol("u1")
    assert await harness.enrolments.read(replace(TENANT, id="other"), "u1") == Tampered("unopenable")


@pytest.mark.row("GW-29")
@pytest.mark.attack("F2")
async def test_enrolments_copied_from_the_same_user_id_of_another_realm_do_not_open(harness: Bench) -> None:
    await harness.enrol("u1")
    elsewhere = replace(TENANT, keycloak=replace(TENANT.keycloak, realm="another"))
    assert await harness.enrolments.read(elsewhere, "u1") == Tampered("unopenable")


@pytest.mark.row("GW-29")
@pytest.mark.attack("F2")
async def test_a_slow_reader_does_not_lower_the_version_guard_that_a_parallel_write_raised(harness: Bench) -> None:
    class Slow(Attributes):
        entered, go_on = asyncio.Event(), asyncio.Event()
        slow = False

        async def read(self, access: KeycloakAccess, user_id: str) -> str | None:
            found = await super().read(access, user_id)
            if self.slow:
                self.slow = False
                self.entered.set()
                await self.go_on.wait()
            return found

    harness.enrolments._profile = harness.profile = profile = Slow()
    await harness.enrol("u1", OTHER)
    old = profile.values["u1"]
    profile.slow = True
    reader = asyncio.create_task(harness.enrolments.read(TENANT, "u1"))
    await profile.entered.wait()
    await harness.enrol("u1", EMAIL)
    profile.go_on.set()
    await reader
    profile.values["u1"] = old
    assert await harness.enrolments.read(TENANT, "u1") == Tampered("older")


def account(harness: Bench, user: str = "u1") -> Account:
    """Returns the user as Keycloak returns them now."""
    sealed = harness.profile.values.get(user)
    attributes = {ATTRIBUTE: values_of(sealed)} if sealed else {}
    return Account(User(user, user), True, (), 1, attributes=attributes)


async def test_an_account_read_just_before_is_not_read_again(harness: Bench) -> None:
    enrolled = await harness.enrol("u1")
    read = account(harness)
    harness.profile.values.clear()
    assert await harness.enrolments.read(TENANT, "u1", read) == enrolled
    assert await harness.enrolments.read_at_login(TENANT, "u1", read) == enrolled


@pytest.mark.attack("F2")
async def test_enrolments_written_after_the_account_was_read_are_no_rollback(harness: Bench) -> None:
    before = account(harness)
    await harness.enrol("u1", OTHER)
    one = account(harness)
    enrolled = await harness.enrol("u1")
    assert await harness.enrolments.read(TENANT, "u1", before) == enrolled
    assert await harness.enrolments.read(TENANT, "u1", one) == enrolled


@pytest.mark.attack("F2")
async def test_an_account_with_older_enrolments_counts_as_tampered(harness: Bench) -> None:
    await harness.enrol("u1", OTHER)
    old = dict(harness.profile.values)
    await harness.enrol("u1")
    harness.profile.values = old
    assert await harness.enrolments.read(TENANT, "u1", account(harness)) == Tampered("older")
    harness.profile.values = {}
    assert await harness.enrolments.read(TENANT, "u1", account(harness)) == Tampered("missing")


async def test_enrolments_changed_by_an_administrator_between_read_and_write_are_not_overwritten(
    harness: Bench,
) -> None:
    class ChangedByAdministrator(Attributes):
        async def write(self, access: KeycloakAccess, user_id: str, sealed: str, expected: str | None) -> None:
            self.values[user_id] = "by hand"
            await super().write(access, user_id, sealed, expected)

    harness.enrolments._profile = harness.profile = ChangedByAdministrator()
    assert await harness.enrolments.add(TENANT, "u1", EnrolmentSet(), EMAIL) is None
    assert harness.profile.values["u1"] == "by hand"


async def test_a_backup_code_redeemed_twice_for_one_owner_is_used_once(harness: Bench) -> None:
    seen = await harness.enrolments.add(TENANT, "u1", EnrolmentSet(), EMAIL, ("a", "b"))
    assert seen
    first = await harness.enrolments.redeem(TENANT, "u1", seen, "a", "owner")
    assert first
    assert await harness.enrolments.redeem(TENANT, "u1", seen, "a", "owner") == first
    assert await harness.enrolments.redeem(TENANT, "u1", seen, "a", "another") is None


async def test_no_backup_code_is_redeemed_from_enrolments_older_than_the_login_has_seen(harness: Bench) -> None:
    first = await harness.enrolments.add(TENANT, "u1", EnrolmentSet(), EMAIL, ("a", "b"))
    assert first
    old = harness.profile.values["u1"]
    seen = await harness.enrolments.redeem(TENANT, "u1", first, "a", "owner")
    assert seen
    harness.lose_store()
    harness.profile.values["u1"] = old
    assert await harness.enrolments.redeem(TENANT, "u1", seen, "b", "owner") is None


@pytest.mark.row("GW-29")
@pytest.mark.attack("F2")
async def test_an_overwritten_version_guard_stops_the_login(harness: Bench) -> None:
    await harness.enrol("u1")
    (guard,) = [key for key in harness.store._kept if key.startswith("guard:")]
    await harness.store.set(guard, b"another", 60)
    assert await harness.enrolments.read(TENANT, "u1") == Tampered("guard-unopenable")


async def test_losing_the_store_loses_no_enrolment(harness: Bench) -> None:
    enrolled = await harness.enrol("u1")
    harness.lose_store()
    assert await harness.enrolments.read(TENANT, "u1") == enrolled


async def test_enrolments_accepted_without_a_version_guard_are_reported(harness: Bench) -> None:
    await harness.enrol("u1")
    harness.lose_store()
    await harness.enrolments.read(TENANT, "u1")
    assert harness.unguarded == ["u1"]


@pytest.mark.attack("F2")
async def test_older_enrolments_are_refused_again_once_newer_ones_were_seen_after_a_loss_of_the_store(
    harness: Bench,
) -> None:
    await harness.enrol("u1", OTHER)
    old = harness.profile.values["u1"]
    await harness.enrol("u1", EMAIL)
    harness.lose_store()
    await harness.enrolments.read(TENANT, "u1")
    harness.profile.values["u1"] = old
    assert await harness.enrolments.read(TENANT, "u1") == Tampered("older")


def new_key(harness: Bench) -> Sealer:
    """Puts a newer key before the others; it seals from now on."""
    harness.ring = KeyRing((Key("00000002", harness.random.token_bytes(KEY_BYTES)), *harness.ring.keys))
    harness.enrolments._guards = Sealer(harness.ring, "guards", harness.random)
    harness.enrolments._sets = Sealer(harness.ring, "enrolments", harness.random)
    return harness.enrolments._sets


async def test_enrolments_sealed_by_an_older_key_open_and_the_next_write_uses_the_new_key(
    harness: Bench,
) -> None:
    enrolled = await harness.enrol("u1")
    sets = new_key(harness)
    assert await harness.enrolments.read(TENANT, "u1") == enrolled
    await harness.enrol("u1", OTHER)
    assert sets.uses_newest(harness.profile.values["u1"])


@pytest.mark.attack("F2")
async def test_a_login_reseals_enrolments_once_with_the_newest_key(harness: Bench) -> None:
    enrolled = await harness.enrol("u1")
    old = harness.profile.values["u1"]
    sets = new_key(harness)
    assert await harness.enrolments.read_at_login(TENANT, "u1") == replace(enrolled, version=enrolled.version + 1)
    anew = harness.profile.values["u1"]
    assert sets.uses_newest(anew)
    await harness.enrolments.read_at_login(TENANT, "u1")
    assert harness.profile.values["u1"] == anew
    harness.profile.values["u1"] = old
    assert await harness.enrolments.read_at_login(TENANT, "u1") == Tampered("older")


async def test_enrolments_that_cannot_be_resealed_stay_valid(harness: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    enrolled = await harness.enrol("u1")
    new_key(harness)

    async def unanswered(*_: object) -> None:
        raise Unreachable("keycloak", "no answer within 5 s")

    monkeypatch.setattr(harness.profile, "write", unanswered)
    assert await harness.enrolments.read_at_login(TENANT, "u1") == enrolled


async def test_parallel_logins_reseal_enrolments_once(harness: Bench) -> None:
    enrolled = await harness.enrol("u1")
    new_key(harness)
    found = await asyncio.gather(*(harness.enrolments.read_at_login(TENANT, "u1") for _ in range(20)))
    assert set(found) == {replace(enrolled, version=enrolled.version + 1)}


@pytest.mark.attack("F2")
async def test_the_version_guard_of_a_user_who_signs_in_once_a_year_never_expires(harness: Bench) -> None:
    await harness.enrol("u1", OTHER)
    old = harness.profile.values["u1"]
    await harness.enrol("u1", EMAIL)
    for _ in range(3):
        harness.clock.advance(399 * 86400)
        await harness.enrolments.read_at_login(TENANT, "u1")
    harness.profile.values["u1"] = old
    assert await harness.enrolments.read(TENANT, "u1") == Tampered("older")
    assert not harness.unguarded


async def test_a_login_that_saw_an_older_version_writes_nothing(harness: Bench) -> None:
    await harness.enrol("u1")
    assert await harness.enrolments.add(TENANT, "u1", EnrolmentSet(), OTHER) is None


async def test_saving_the_same_enrolment_twice_writes_once(harness: Bench) -> None:
    first = await harness.enrolments.add(TENANT, "u1", EnrolmentSet(), EMAIL)
    sealed = harness.profile.values["u1"]
    again = await harness.enrolments.add(TENANT, "u1", EnrolmentSet(), EMAIL)
    assert (again, harness.profile.values["u1"]) == (first, sealed)


async def test_one_of_twenty_different_parallel_enrolments_is_saved(harness: Bench) -> None:
    many = [Enrolment(FactorKind.EMAIL, f"u{n}@example.com") for n in range(20)]
    kept = await asyncio.gather(*(harness.enrolments.add(TENANT, "u1", EnrolmentSet(), e) for e in many))
    assert len([k for k in kept if k]) == 1


async def test_the_stored_text_shows_no_address(harness: Bench) -> None:
    await harness.enrol("u1")
    assert "example" not in harness.profile.values["u1"]


@pytest.mark.row("CC-21")
async def test_the_last_factor_stays_when_both_are_turned_off_in_parallel_and_one_is_required() -> None:
    harness = Bench()
    await harness.enrol("u1")
    await harness.enrol("u1", Enrolment(FactorKind.TOTP, secret="made up"))

    def may(now: EnrolmentSet) -> bool:
        return len(now.enrolments) > 1

    kinds = (FactorKind.EMAIL, FactorKind.TOTP)
    found = await asyncio.gather(*(harness.enrolments.turn_off(TENANT, "u1", kind, may) for kind in kinds))
    assert [e is None for e in found].count(True) == 1
    left = await harness.enrolments.read(TENANT, "u1")
    assert isinstance(left, EnrolmentSet)
    assert len(left.enrolments) == 1


class Lives:
    """A lock that records the requested lifetimes, and that another replica may hold."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.taken = False

    @asynccontextmanager
    async def hold(self, name: str, *, wait: float, ttl: float) -> AsyncIterator[None]:
        self.asked.append(ttl)
        if self.taken:
            raise Conflict("lock enrolments", "held by another replica")
        yield


async def test_a_read_during_the_write_of_another_replica_is_an_outage(harness: Bench) -> None:
    harness.enrolments._lock = lock = Lives()
    lock.taken = True
    with pytest.raises(Unreachable):
        await harness.enrolments.add(TENANT, "u1", EnrolmentSet(), EMAIL)
    assert not harness.profile.values


async def test_the_lock_of_a_user_lasts_slightly_longer_than_a_keycloak_call(harness: Bench) -> None:
    harness.enrolments._lock = lock = Lives()
    for timeout in (5.0, 60.0):
        access = replace(TENANT.keycloak, timeout=timeout)
        await harness.enrolments.add(replace(TENANT, keycloak=access), f"u{timeout}", EnrolmentSet(), EMAIL)
    assert [5 * timeout < life <= 6 * timeout for timeout, life in zip((5.0, 60.0), lock.asked, strict=True)] == [
        True
    ] * 2


class Late(Attributes):
    """The first write has no answer, and is carried out after the second one."""

    def __init__(self) -> None:
        super().__init__()
        self.held: tuple[str, str] | None = None
        self.writes = 0

    async def write(self, access: KeycloakAccess, user_id: str, sealed: str, expected: str | None) -> None:
        self.writes += 1
        if self.writes == 1:
            self.held = user_id, sealed
            raise Unreachable("keycloak", "no answer within 5 s")
        await super().write(access, user_id, sealed, expected)
        if self.held:
            self.values[self.held[0]] = self.held[1]


def late(change: Callable[[Enrolments], Awaitable[object]]) -> Callable[[], Awaitable[tuple[Bench, EnrolmentSet]]]:
    async def play() -> tuple[Bench, EnrolmentSet]:
        harness = Bench()
        enrolled = await harness.enrolments.add(TENANT, "u1", EnrolmentSet(), EMAIL, ("code a", "code b"))
        assert enrolled
        profile = Late()
        profile.values = harness.profile.values
        harness.enrolments._profile = harness.profile = profile
        with pytest.raises(Unreachable):
            await change(harness.enrolments)
        return harness, enrolled

    return play


@pytest.mark.row("GW-29")
@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.add(TENANT, "u1", EnrolmentSet(1, (EMAIL,)), replace(EMAIL, factor=FactorKind.SMS), ()),
        lambda e: e.turn_off(TENANT, "u1", FactorKind.EMAIL),
        lambda e: e.renew_backup_codes(TENANT, "u1", (SystemRandom().token_bytes(5).hex(), "another")),
        lambda e: e.redeem(TENANT, "u1", EnrolmentSet(1), "code a", "owner"),
    ],
    ids=["add", "turn off", "renew codes", "redeem"],
)
async def test_a_late_write_that_was_already_retried_is_no_tampering(
    change: Callable[[Enrolments], Awaitable[EnrolmentSet | None]],
) -> None:
    harness, _ = await late(change)()
    harness.clock.advance(5)
    kept = await change(harness.enrolments)
    assert kept is not None
    assert await harness.enrolments.read(TENANT, "u1") == kept


async def test_a_second_change_after_a_write_without_an_answer_is_applied_separately() -> None:
    harness, enrolled = await late(lambda e: e.redeem(TENANT, "u1", EnrolmentSet(1), "code a", "owner"))()
    assert isinstance(harness.profile, Late)
    harness.profile.held = None
    kept = await harness.enrolments.redeem(TENANT, "u1", enrolled, "code b", "owner")
    assert kept is not None
    assert kept.backup_codes == ("code a",)


@pytest.mark.row("GW-29")
async def test_new_backup_codes_after_a_resealing_without_an_answer_are_saved() -> None:
    harness = Bench()
    enrolled = await harness.enrolments.add(TENANT, "u1", EnrolmentSet(), EMAIL, ("code a", "code b"))
    assert enrolled
    new_key(harness)
    profile = Late()
    profile.values = harness.profile.values
    harness.enrolments._profile = profile
    assert await harness.enrolments.read_at_login(TENANT, "u1") == enrolled
    profile.held = None
    kept = await harness.enrolments.renew_backup_codes(TENANT, "u1", ("code c", "code d"))
    assert kept == replace(enrolled, version=2, backup_codes=("code c", "code d"))


async def test_trust_ends_even_after_a_write_of_backup_codes_without_an_answer() -> None:
    harness, _ = await late(lambda e: e.renew_backup_codes(TENANT, "u1", ("code a", "code b")))()
    assert isinstance(harness.profile, Late)
    harness.profile.held = None
    kept = await harness.enrolments.end_trust(TENANT, "u1")
    assert kept is not None
    assert kept.trust_epoch == 1


async def test_a_parallel_enrolment_of_the_same_address_is_not_taken_for_this_one(harness: Bench) -> None:
    await harness.enrol("u1")
    await harness.enrolments.end_trust(TENANT, "u1")
    assert await harness.enrolments.add(TENANT, "u1", EnrolmentSet(), EMAIL) is None


async def test_a_user_without_a_factor_gets_no_backup_codes(harness: Bench) -> None:
    assert await harness.enrolments.renew_backup_codes(TENANT, "u1", ("code a",)) is None


async def test_enrolments_of_a_lost_key_ring_are_named_by_their_key_and_the_ring_by_its_keys(harness: Bench) -> None:
    await harness.enrol("u1")
    harness.ring = KeyRing((Key("00000002", harness.random.token_bytes(KEY_BYTES)),))
    guarded = harness.store
    harness.lose_store()
    found = await harness.enrolments.read(TENANT, "u1")
    assert isinstance(found, Tampered)
    assert found.details == {"finding": "unopenable", "sealed_by": "00000001", "ring": ["00000002"]}
    harness.enrolments._store = guarded
    found = await harness.enrolments.read(TENANT, "u1")
    assert isinstance(found, Tampered)
    assert found.details == {"finding": "guard-unopenable", "sealed_by": "00000001", "ring": ["00000002"]}


@pytest.mark.attack("F2")
@pytest.mark.parametrize("finding", ["missing", "unopenable", "older", "altered", "guard-unopenable"])
async def test_an_administrators_set_replaces_a_rejected_one_and_no_earlier_one_is_ever_accepted_again(
    harness: Bench, finding: str
) -> None:
    await harness.enrol("u1", OTHER)
    first = harness.profile.values["u1"]
    await harness.enrol("u1")
    second = harness.profile.values["u1"]
    match finding:
        case "missing":
            del harness.profile.values["u1"]
        case "unopenable":
            harness.profile.values["u1"] = "damaged"
        case "older":
            harness.profile.values["u1"] = first
        case "altered":
            twin = Bench()
            twin.ring = harness.ring
            twin.lose_store()
            await twin.enrol("u1", OTHER)
            await twin.enrol("u1", OTHER)
            harness.profile.values["u1"] = twin.profile.values["u1"]
        case _:
            (guard,) = [key for key in harness.store._kept if key.startswith("guard:")]
            await harness.store.set(guard, b"another", 60)
    copies = await harness.enrolments.copies(TENANT, "u1")
    assert copies.rejected == Tampered(finding)
    chosen = EnrolmentSet(enrolments=(EMAIL,))
    written = await harness.enrolments.overwrite(TENANT, "u1", lambda _copies: chosen)
    assert written
    assert await harness.enrolments.read(TENANT, "u1") == written
    for old in (first, second):
        harness.profile.values["u1"] = old
        assert isinstance(await harness.enrolments.read(TENANT, "u1"), Tampered)


@pytest.mark.attack("F2")
async def test_a_reset_user_stays_reset_when_the_lost_key_ring_and_the_old_enrolments_are_put_back(
    harness: Bench,
) -> None:
    await harness.enrol("u1")
    old, lost = harness.profile.values["u1"], harness.ring.keys
    harness.ring = KeyRing((Key("00000002", harness.random.token_bytes(KEY_BYTES)),))
    harness.lose_store()
    await harness.enrolments.overwrite(TENANT, "u1", lambda _copies: EnrolmentSet())
    store = harness.store
    harness.ring = KeyRing((*harness.ring.keys, *lost))
    harness.lose_store()
    harness.enrolments._store = store
    harness.profile.values["u1"] = old
    assert await harness.enrolments.read(TENANT, "u1") == Tampered("older")
