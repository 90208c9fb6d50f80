"""How is a Keycloak session ended when nobody waits for it?

At once and in the background, tried again for a while: a user who signs out, and a login that dies, must not wait for
Keycloak. What could not be ended is logged; Keycloak ends it by its own idle limit then.
"""

import asyncio

import structlog

from gateway.domain.errors import GatewayError
from gateway.domain.session import Tokens
from gateway.domain.tenant import Tenant
from gateway.keycloak.token_endpoint import TokenEndpoint

PAUSES = (0.0, 1.0, 5.0, 30.0, 120.0)
LAST_WAIT = 5.0
log = structlog.get_logger(__name__)


class LogoutRetries:
    """The endings under way in this process."""

    def __init__(self, sign_in: TokenEndpoint, pauses: tuple[float, ...] = PAUSES) -> None:
        self._sign_in = sign_in
        self._pauses = pauses
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, tenant: Tenant, tokens: Tokens) -> None:
        """Begin to end the session of `tokens`; nobody waits for it."""
        if not tokens.refresh:
            return
        task = asyncio.create_task(self._end(tenant, tokens.refresh))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait a little for those under way, then give up."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=LAST_WAIT)
        for task in tuple(self._tasks):
            task.cancel()

    async def _end(self, tenant: Tenant, refresh: str) -> None:
        last = ""
        for pause in self._pauses:
            await asyncio.sleep(pause)
            try:
                return await self._sign_in.end(tenant.keycloak, refresh)
            except GatewayError as error:
                last = error.what
        log.warning("keycloak_session_not_ended", tenant=tenant.id, what=last)
