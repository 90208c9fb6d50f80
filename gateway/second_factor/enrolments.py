"""Reads and writes the enrolments of a user; no other module does.

They are one sealed set in the user's Keycloak profile. The additional data is tenant, realm and user, so a set copied
to another user does not open. A *rollback guard* in the store keeps version, hash and text of the newest set seen:

- nothing in the profile and no guard: the user has no enrolment;
- the set opens and there is no guard: accepted and audited (the store was lost);
- the set opens and is newer than the guard: accepted, and the guard is raised;
- the set does not open, is missing although the guard knows one, is older, or has another hash for the same version:
  `Tampered`. The login stops; it never leads to a code or to a new enrolment.

A write succeeds only from the version that the login saw.

Under `registration: guarded` a user without a verified profile address may enrol a first factor without an approval
during a grace period: 14 days after the second factor was switched on for the tenant, or after Keycloak created the
user. Later they need an administrator's code. The first login that asks notes the start in the store. A lost store
begins the 14 days anew.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache

import structlog
from pydantic import TypeAdapter, ValidationError

from gateway.crypto.key_ring import Sealer, Unopenable, key_of, key_of_text
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.errors import Conflict, GatewayError, Unreachable
from gateway.domain.policy import FactorKind, Registration
from gateway.domain.ports import Clock, Lock
from gateway.domain.tenant import Tenant
from gateway.domain.user import Account
from gateway.keycloak.users import UserProfiles, sealed_in
from gateway.observe.audit import Audit, AuditEvent
from gateway.store.protocol import Store

GUARD_LIFE = 400 * 86400.0
GRACE_PERIOD = 14 * 86400.0
BEGUN_LIFE = 900.0
"""Seconds for which an unfinished write is begun again with the same bytes."""
LOCK_WAIT = 10.0
CALLS = 5
"""The most requests to Keycloak under the user's lock; each may take the timeout of the access."""
LOCK_MARGIN = 5.0

log = structlog.get_logger(__name__)


@cache
def _set() -> TypeAdapter[EnrolmentSet]:
    """Reads and writes a set as JSON. It is made at the first use, because a start has no use for it."""
    return TypeAdapter(EnrolmentSet)


@dataclass(frozen=True, slots=True)
class Tampered:
    """The set is not the one that the gateway wrote last. `finding` is for the audit.

    What does not open was sealed by the key `sealed_by` ("": it is no sealed value). The key ring has the keys `ring`.
    """

    finding: str
    sealed_by: str = field(default="", compare=False)
    ring: tuple[str, ...] = field(default=(), compare=False)

    @property
    def details(self) -> dict[str, object]:
        """The details of the audit event."""
        keys = {"sealed_by": self.sealed_by, "ring": list(self.ring)} if self.ring else {}
        return {"finding": self.finding, **keys}


@dataclass(frozen=True, slots=True)
class Guard:
    """The newest set seen of one user."""

    version: int
    hash: str
    sealed: str


@dataclass(frozen=True, slots=True)
class Copies:
    """What Keycloak and the store hold of one user's enrolments; None where there is nothing that opens.

    `rejected` is the reason why a login stops, `version` the newest version known, `digest` names both copies.
    """

    keycloak: EnrolmentSet | None
    store: EnrolmentSet | None
    rejected: Tampered | None
    version: int
    digest: str


class Enrolments:
    """Reads and writes sealed sets. A set that is accepted without a guard is audited."""

    def __init__(
        self,
        *,
        profile: UserProfiles,
        store: Store,
        sets: Sealer,
        guards: Sealer,
        lock: Lock,
        clock: Clock,
        audit: Audit,
    ) -> None:
        self._profile = profile
        self._store = store
        self._sets = sets
        self._guards = guards
        self._lock = lock
        self._clock = clock
        self._audit = audit

    async def read(self, tenant: Tenant, user_id: str, account: Account | None = None) -> EnrolmentSet | Tampered:
        """The user's enrolments, checked against the guard. Raises `Unreachable`, `Refused`.

        `account` is the user as Keycloak has just returned them: then their profile is not read once more.
        """
        return (await self._read(tenant, user_id, account))[0]

    async def read_at_login(
        self, tenant: Tenant, user_id: str, account: Account | None = None
    ) -> EnrolmentSet | Tampered:
        """As `read`; writes a set that an older key of the ring sealed anew with the newest key.

        That is the next version. When the write fails nothing is lost, and the next login tries again.
        """
        found, sealed = await self._read(tenant, user_id, account, at_login=True)
        if isinstance(found, Tampered) or sealed is None or self._sets.uses_newest(sealed):
            return found

        def change(now: EnrolmentSet) -> EnrolmentSet:
            return replace(now, version=now.version + 1) if now.version == found.version else now

        try:
            return await self._change(tenant, user_id, change) or found
        except GatewayError as error:
            log.warning("enrolments_not_resealed", tenant=tenant.id, user_id=user_id, why=str(error))
            return found

    async def add(
        self,
        tenant: Tenant,
        user_id: str,
        seen: EnrolmentSet,
        enrolment: Enrolment,
        backup_codes: tuple[str, ...] = (),
        *,
        target: str = "",
    ) -> EnrolmentSet | None:
        """Writes the set that follows `seen`, with `enrolment` in it; None when `seen` is no longer the current one.

        A first factor brings `backup_codes`. `target` is as in `EnrolmentSet.with_enrolment`.

        Repeating it writes once: a set that already holds exactly this is
        returned as it is.
        """
        wanted = seen.with_enrolment(replace(enrolment, added_at=enrolment.added_at or self._clock.now()), target)
        if backup_codes:
            wanted = replace(wanted, backup_codes=backup_codes, used_codes=())

        def change(now: EnrolmentSet) -> EnrolmentSet | None:
            if _same(now, wanted):
                return now
            return wanted if now.version == seen.version else None

        return await self._change(tenant, user_id, change)

    async def redeem(
        self, tenant: Tenant, user_id: str, seen: EnrolmentSet, code: str, owner: str
    ) -> EnrolmentSet | None:
        """Takes one backup code out of the set, for `owner`; repeating it has no further effect.

        None when the set is not the one that the gateway wrote last, or does not hold the code: another owner redeemed
        it, or new codes replaced it. The set itself keeps the last owner, so that no lost store makes a code right
        again.
        """
        mark = _hash(f"{owner}\n{code}")[:16]

        def change(now: EnrolmentSet) -> EnrolmentSet | None:
            if now.version < seen.version:
                return None
            if code not in now.backup_codes:
                return now if now.last_burn == mark else None
            left = tuple(c for c in now.backup_codes if c != code)
            used = (*now.used_codes, code)
            return replace(now, version=now.version + 1, backup_codes=left, used_codes=used, last_burn=mark)

        return await self._change(tenant, user_id, change)

    async def turn_off(
        self,
        tenant: Tenant,
        user_id: str,
        factor: FactorKind,
        may: Callable[[EnrolmentSet], bool] = lambda now: True,
        *,
        target: str = "",
    ) -> EnrolmentSet | None:
        """Takes one factor out, or of several apps the one `target`.

        Trust ends, and with the last factor the backup codes. None as in `redeem`, and when the current set `may` not
        lose it.
        """

        def change(now: EnrolmentSet) -> EnrolmentSet | None:
            if all(target and one.id != target for one in now.all_of(factor)):
                return now
            return now.without(factor, target) if may(now) else None

        return await self._change(tenant, user_id, change)

    async def renew_backup_codes(self, tenant: Tenant, user_id: str, codes: tuple[str, ...]) -> EnrolmentSet | None:
        """Replaces all backup codes. None as in `redeem`, and for a user without a factor."""

        def change(now: EnrolmentSet) -> EnrolmentSet | None:
            renewed = replace(now, version=now.version + 1, backup_codes=codes, used_codes=())
            return renewed if now.enrolments else None

        return await self._change(tenant, user_id, change)

    async def end_trust(self, tenant: Tenant, user_id: str) -> EnrolmentSet | None:
        """Ends the trust of all browsers. None as in `redeem`."""

        def change(now: EnrolmentSet) -> EnrolmentSet | None:
            return replace(now, version=now.version + 1, trust_epoch=now.trust_epoch + 1)

        return await self._change(tenant, user_id, change)

    async def copies(self, tenant: Tenant, user_id: str, account: Account | None = None) -> Copies:
        """Both copies, for an administrator; accepts and changes nothing. `account` as in `read`."""
        raw = await self._store.get(_guard_key(tenant, user_id))
        sealed = sealed_in(account.attributes) if account else await self._profile.read(tenant.keycloak, user_id)
        return self._compared(tenant, user_id, raw, sealed)

    async def overwrite(
        self, tenant: Tenant, user_id: str, choose: Callable[[Copies], EnrolmentSet | None]
    ) -> EnrolmentSet | None:
        """Writes the set that an administrator chooses from both copies, also over a rejected one; None: writes none.

        Its version and trust epoch exceed those of every other set of this user, also of one that does not open today.
        So no older set is ever accepted later, and all trust and all logins under way end.
        """
        async with self._alone(tenant, user_id):
            raw = await self._store.get(_guard_key(tenant, user_id))
            sealed = await self._profile.read(tenant.keycloak, user_id)
            copies = self._compared(tenant, user_id, raw, sealed)
            chosen = choose(copies)
            if chosen is None:
                return None
            epochs = [one.trust_epoch for one in (copies.keycloak, copies.store) if one]
            now = int(self._clock.now())
            written = replace(
                chosen, version=max(now, copies.version) + 1, trust_epoch=max(now, *epochs, chosen.trust_epoch) + 1
            )
            new = self._seal(tenant, user_id, written)
            await self._profile.write(tenant.keycloak, user_id, new, sealed)
            raw = await self._store.get(_guard_key(tenant, user_id))
            await self._raise_guard(tenant, user_id, written.version, new, raw)
        return written

    def alone(self, tenant: Tenant, user_id: str) -> AbstractAsyncContextManager[None]:
        """The lock under which a user's profile is written: a write of other fields must not undo one of enrolments."""
        return self._alone(tenant, user_id)

    async def in_grace_period(self, tenant: Tenant, account: Account) -> bool:
        """Whether this user's first factor needs no approval although they have no profile address."""
        if tenant.policy.registration is not Registration.GUARDED:
            return True
        now = self._clock.now()
        begun = await first_noted(self._store, f"guarded-since:{tenant.id}", now)
        return now < max(begun, account.created_at or 0.0) + GRACE_PERIOD

    async def _read(
        self, tenant: Tenant, user_id: str, account: Account | None = None, *, at_login: bool = False
    ) -> tuple[EnrolmentSet | Tampered, str | None]:
        """The enrolments, and the sealed text. A login renews the life of the guard."""
        # The guard first: it is raised after the profile is written, so a profile read later is never older honestly.
        raw = await self._store.get(_guard_key(tenant, user_id))
        if account is None:
            sealed = await self._profile.read(tenant.keycloak, user_id)
            return await self._judged(tenant, user_id, raw, sealed, renew=at_login)
        found = await self._judged(tenant, user_id, raw, sealed_in(account.attributes), renew=at_login)
        if isinstance(found[0], Tampered):  # or another request wrote after this account was read: the profile tells
            return await self._read(tenant, user_id, at_login=at_login)
        return found

    async def _judged(
        self, tenant: Tenant, user_id: str, raw: bytes | None, sealed: str | None, *, renew: bool
    ) -> tuple[EnrolmentSet | Tampered, str | None]:
        """`sealed`, checked against the guard in `raw`; the guard follows a newer set, and with `renew` lives on."""
        guard = self._guard(tenant, user_id, raw)
        found = self._accepted(tenant, user_id, guard, sealed)
        if isinstance(found, Tampered) or sealed is None:
            return found, sealed
        if guard is None:
            self._audit.write(AuditEvent.ENROLMENT_UNGUARDED, tenant=tenant.id, user_id=user_id)
        if renew or not isinstance(guard, Guard) or guard.version < found.version:
            await self._raise_guard(tenant, user_id, found.version, sealed, raw)
        return found, sealed

    def _accepted(
        self, tenant: Tenant, user_id: str, guard: Guard | Tampered | None, sealed: str | None
    ) -> EnrolmentSet | Tampered:
        """The set in `sealed`, if the guard accepts it."""
        if isinstance(guard, Tampered):
            return guard
        if sealed is None:
            return EnrolmentSet() if guard is None else Tampered("missing")
        opened = self._open(tenant, user_id, sealed)
        if opened is None:
            return Tampered("unopenable", key_of_text(sealed), self._sets.key_ids)
        if guard and opened.version < guard.version:
            return Tampered("older")
        if guard and opened.version == guard.version and _hash(sealed) != guard.hash:
            return Tampered("altered")
        return opened

    def _compared(self, tenant: Tenant, user_id: str, raw: bytes | None, sealed: str | None) -> Copies:
        guard = self._guard(tenant, user_id, raw)
        found = self._accepted(tenant, user_id, guard, sealed)
        kept = guard if isinstance(guard, Guard) else None
        here = self._open(tenant, user_id, sealed) if sealed is not None else None
        there = self._open(tenant, user_id, kept.sealed) if kept else None
        return Copies(
            keycloak=here,
            store=there,
            rejected=found if isinstance(found, Tampered) else None,
            version=max(here.version if here else 0, kept.version if kept else 0),
            digest=_hash(f"{sealed}\n{kept}"),
        )

    async def _change(
        self, tenant: Tenant, user_id: str, change: Callable[[EnrolmentSet], EnrolmentSet | None]
    ) -> EnrolmentSet | None:
        """Under the user's lock: reads and checks, changes, writes from exactly what was read, raises the guard."""
        async with self._alone(tenant, user_id):
            now, sealed = await self._read(tenant, user_id)
            if isinstance(now, Tampered):
                return None
            wanted = change(now)
            if wanted is None or wanted is now:
                return wanted
            wanted, new = await self._begun(tenant, user_id, now, sealed, wanted)
            try:
                await self._profile.write(tenant.keycloak, user_id, new, sealed)
            except Conflict:
                return None
            guard = await self._store.get(_guard_key(tenant, user_id))
            await self._raise_guard(tenant, user_id, wanted.version, new, guard)
        return wanted

    async def _begun(
        self, tenant: Tenant, user_id: str, now: EnrolmentSet, sealed_now: str | None, wanted: EnrolmentSet
    ) -> tuple[EnrolmentSet, str]:
        """The set to write over `now`, and its sealed text: `wanted`, or what an earlier try of this change began.

        `sealed_now` is the sealed text of `now`. A write without an answer may still take effect after the next one.
        The same bytes twice do no harm; another set of the same version would look like tampering for ever.
        """
        key, over = f"begun:{{{tenant.id}/user/{user_id}}}", _hash(sealed_now or "")
        raw = await self._store.get(key)
        with suppress(Unopenable, ValueError, TypeError):
            before, sealed = json.loads(self._guards.open(raw or b"", key))
            begun = self._open(tenant, user_id, sealed)
            if before == over and begun and _same_change(now, begun, wanted):
                return begun, sealed
        sealed = self._seal(tenant, user_id, wanted)
        await self._store.set(key, self._guards.seal(json.dumps([over, sealed]).encode(), key), BEGUN_LIFE)
        return wanted, sealed

    @asynccontextmanager
    async def _alone(self, tenant: Tenant, user_id: str) -> AsyncIterator[None]:
        """Holds the user's lock. Raises `Unreachable` without it: another request may be writing, or may have died."""
        life = CALLS * tenant.keycloak.timeout + LOCK_MARGIN
        async with AsyncExitStack() as held:
            try:
                hold = self._lock.hold(f"enrolments:{tenant.id}:{user_id}", wait=LOCK_WAIT, ttl=life)
                await held.enter_async_context(hold)
            except Conflict as error:
                raise Unreachable("keycloak", "another request is still keeping the user's second factors") from error
            yield

    def _open(self, tenant: Tenant, user_id: str, sealed: str) -> EnrolmentSet | None:
        try:
            return _set().validate_json(self._sets.open_text(sealed, _context(tenant, user_id)))
        except (Unopenable, ValidationError):
            return None

    def _seal(self, tenant: Tenant, user_id: str, value: EnrolmentSet) -> str:
        return self._sets.seal_text(_set().dump_json(value, exclude_defaults=True), _context(tenant, user_id))

    def _guard(self, tenant: Tenant, user_id: str, raw: bytes | None) -> Guard | Tampered | None:
        if raw is None:
            return None
        try:
            return Guard(**json.loads(self._guards.open(raw, _guard_key(tenant, user_id))))
        except (Unopenable, ValueError, TypeError):
            return Tampered("guard-unopenable", key_of(raw), self._guards.key_ids)

    async def _raise_guard(self, tenant: Tenant, user_id: str, version: int, sealed: str, seen: bytes | None) -> None:
        """Raises the guard and renews its life. A newer guard of another login stays."""
        key = _guard_key(tenant, user_id)
        value = json.dumps({"version": version, "hash": _hash(sealed), "sealed": sealed}).encode()
        guard = self._guards.seal(value, key)
        if seen is None:
            await self._store.add(key, guard, GUARD_LIFE)
        else:
            await self._store.swap(key, seen, guard, GUARD_LIFE)


async def first_noted(store: Store, key: str, now: float) -> int:
    """The time that the first call for `key` noted; each call lengthens the life of the note."""
    await store.add(key, str(int(now)).encode(), GUARD_LIFE)
    raw = await store.get(key)
    if raw is None:
        return int(now)
    await store.swap(key, raw, raw, GUARD_LIFE)
    return int(raw)


def _same(now: EnrolmentSet, wanted: EnrolmentSet) -> bool:
    """Whether `now` already is `wanted`, apart from the time of adding."""
    plain = [{(e.factor, e.address, e.secret) for e in s.enrolments} for s in (now, wanted)]
    return now.version == wanted.version and plain[0] == plain[1]


def _same_change(now: EnrolmentSet, begun: EnrolmentSet, wanted: EnrolmentSet) -> bool:
    """Whether both are the same change to `now`, apart from its time and the random codes."""
    rest = [
        (s.trust_epoch, s.last_burn, len(s.backup_codes), s.backup_codes == now.backup_codes) for s in (begun, wanted)
    ]
    return _same(begun, wanted) and rest[0] == rest[1]


def _hash(sealed: str) -> str:
    return hashlib.sha256(sealed.encode()).hexdigest()


def _context(tenant: Tenant, user_id: str) -> str:
    return f"enrolments/1/{tenant.id}/{tenant.keycloak.realm}/{user_id}"


def _guard_key(tenant: Tenant, user_id: str) -> str:
    return f"guard:{{{tenant.id}/user/{user_id}}}"
