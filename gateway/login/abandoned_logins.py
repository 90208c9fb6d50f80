"""Ends the Keycloak session of a login that no user finishes.

A right password leaves a session at Keycloak before the second factor. The gateway notes each begun login in the store
under the minute in which it is dead at the earliest, and again under each new secret. In that minute a replica reads
the note, ends the session of a dead login, and notes a live one again. The note outlives a restart; the record is kept
a while longer than it counts.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from gateway.domain.configuration import Configuration
from gateway.domain.errors import GatewayError
from gateway.domain.ports import Clock
from gateway.domain.tenant import Tenant
from gateway.keycloak.logout_retries import LogoutRetries
from gateway.login.record import REAPED_WITHIN, Login, Slot, counts, counts_until
from gateway.store.protocol import Store
from gateway.store.records import RecordKey, Records
from gateway.store.single_use import SingleUse

MINUTE = 60.0
LOOK_BACK = int(REAPED_WITHIN // MINUTE)
"""Minutes: a replica that was away for so long still finds what the records are kept for."""
MOST = 100_000
KEPT = 7200.0
LOOK_EVERY = 30.0
"""Seconds between two looks of one replica."""
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class AbandonedLogins:
    """See the module's text."""

    store: Store
    once: SingleUse
    logins: Records[Slot]
    clock: Clock
    configuration: Callable[[], Configuration]
    logout_retries: LogoutRetries

    async def note(self, tenant: Tenant, login: Login) -> None:
        """Notes to look at `login` when it may be dead."""
        if login.tokens is None:
            return
        limits = self.configuration().gateway.limits
        due = counts_until(login, limits)
        value = json.dumps([tenant.id, login.tag, login.key]).encode()
        await self.store.append(_key(int(due // MINUTE) + 1), value, MOST, KEPT + max(0.0, due - self.clock.now()))

    async def look_for_ever(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.look()
            except GatewayError as error:
                log.warning("abandoned_logins_not_ended", what=error.what)
            except Exception:  # the next look may be another; without one, no dead login would ever be ended
                log.exception("abandoned_logins_not_ended")

    async def look(self) -> int:
        """Looks at every login noted for the last minutes; returns the number of Keycloak sessions that it ended."""
        now, ended = int(self.clock.now() // MINUTE), 0
        for minute in range(now - LOOK_BACK, now + 1):
            for raw in await self.store.last(_key(minute), MOST):
                try:
                    tenant_id, tag, key = map(str, json.loads(raw))
                except (ValueError, TypeError):  # another version's
                    continue
                claim = ("reap", key, str(minute))
                if not await self.once.claim(tenant_id, claim, KEPT):
                    continue
                try:
                    ended += await self._one(tenant_id, RecordKey(tag, key))
                except GatewayError:
                    with suppress(GatewayError):  # else no replica looks at it any more
                        await self.once.release(tenant_id, claim)
                    raise
        return ended

    async def _one(self, tenant_id: str, key: RecordKey) -> bool:
        configuration = self.configuration()
        tenant = configuration.tenant(tenant_id)
        slot = await self.logins.read(tenant_id, key)
        login = slot.login if slot else None
        if tenant is None or login is None or login.tokens is None:
            return False
        if counts(login, configuration.gateway.limits, self.clock.now()):
            await self.note(tenant, login)
            return False

        def without(now: Slot) -> Slot | None:
            return Slot(replace(now.login, tokens=None)) if now.login and now.login.tokens else None

        if await self.logins.change(tenant_id, key, without) is None:
            return False  # another replica was first, or the login went on
        self.logout_retries.begin(tenant, login.tokens)
        return True


def _key(minute: int) -> str:
    return f"dying:{minute}"
