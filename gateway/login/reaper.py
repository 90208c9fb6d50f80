"""What becomes of the Keycloak session of a login that nobody finishes?

A right password leaves a session at Keycloak before the second factor. Each begun login is noted in the store under
the minute in which it will be dead at the earliest; some replica looks then, ends the session of a login that is dead,
and notes again one that moved on. The note outlives a restart; the record is kept a while longer than it counts.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from gateway.domain.errors import GatewayError
from gateway.domain.ports import Clock
from gateway.domain.session import Tokens
from gateway.domain.tenant import Tenant
from gateway.login import flow
from gateway.login.record import Login
from gateway.settings.snapshot import Configuration
from gateway.store.interface import Store
from gateway.store.once import Once
from gateway.store.records import Records

MINUTE = 60.0
LOOK_BACK = int(flow.REAPED_WITHIN // MINUTE)
"""Minutes: a replica that was away for so long still finds what the records are kept for."""
MOST = 100_000
KEPT = 7200.0


@dataclass(slots=True)
class Reaper:
    """See the module's text."""

    store: Store
    once: Once
    logins: Records[Login]
    clock: Clock
    configuration: Callable[[], Configuration]
    end_session: Callable[[Tenant, Tokens], None]

    async def note(self, tenant: Tenant, login: Login) -> None:
        """Remember to look at `login` when it may be dead."""
        if login.tokens is None:
            return
        limits = self.configuration().gateway.limits
        due = flow.counts_until(login, limits)
        value = json.dumps([tenant.id, login.tag, login.id]).encode()
        await self.store.append(_key(int(due // MINUTE) + 1), value, MOST, KEPT + max(0.0, due - self.clock.now()))

    async def look(self) -> int:
        """Look at every login noted for the last minutes; how many Keycloak sessions were ended."""
        now, ended = int(self.clock.now() // MINUTE), 0
        for minute in range(now - LOOK_BACK, now + 1):
            for raw in await self.store.last(_key(minute), MOST):
                try:
                    tenant_id, tag, login_id = map(str, json.loads(raw))
                except (ValueError, TypeError):  # another version's
                    continue
                claim = ("reap", login_id, str(minute))
                if not await self.once.claim(tenant_id, claim, KEPT):
                    continue
                try:
                    ended += await self._one(tenant_id, tag, login_id)
                except GatewayError:
                    with suppress(GatewayError):  # else nobody looks at it any more
                        await self.once.release(tenant_id, claim)
                    raise
        return ended

    async def _one(self, tenant_id: str, tag: str, login_id: str) -> bool:
        configuration = self.configuration()
        tenant = configuration.tenant(tenant_id)
        login = await self.logins.read(tenant_id, tag)
        if tenant is None or login is None or login.id != login_id or login.opened or login.tokens is None:
            return False
        if flow.counts(login, configuration.gateway.limits, self.clock.now()):
            await self.note(tenant, login)
            return False

        def without(now: Login) -> Login | None:
            return replace(now, tokens=None) if now.id == login_id and now.tokens else None

        if await self.logins.change(tenant_id, tag, without) is None:
            return False  # another replica was first, or the browser has begun another login
        self.end_session(tenant, login.tokens)
        return True


def _key(minute: int) -> str:
    return f"dying:{minute}"
