"""Ends Keycloak sessions in the background.

A user who signs out, or a login that ends, must not wait for Keycloak. So the gateway tries at once and retries for a
while. A session that it could not end is logged; Keycloak then ends it by its own idle limit.
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
    """The pending logouts of this process."""

    def __init__(self, sign_in: TokenEndpoint, pauses: tuple[float, ...] = PAUSES) -> None:
        self._sign_in = sign_in
        self._pauses = pauses
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, tenant: Tenant, tokens: Tokens) -> None:
        """Start ending the session of `tokens`; returns at once."""
        if not tokens.refresh:
            return
        task = asyncio.create_task(self._end(tenant, tokens.refresh))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait up to `LAST_WAIT` seconds for pending logouts, then cancel them."""
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
