"""Ends Keycloak sessions in the background, with further tries for a while.

A user must not wait for Keycloak when they sign out, nor a login when it ends. A session that could not be ended is
logged; Keycloak ends it by its own idle limit.
"""

import asyncio

import structlog

from gateway.domain.errors import GatewayError
from gateway.domain.session import Tokens
from gateway.domain.tasks import BackgroundTasks
from gateway.domain.tenant import Tenant
from gateway.keycloak.token_endpoint import TokenEndpoint

PAUSES = (0.0, 1.0, 5.0, 30.0, 120.0)
log = structlog.get_logger(__name__)


class LogoutRetries:
    """Logs sessions out at Keycloak."""

    def __init__(self, token_endpoint: TokenEndpoint, tasks: BackgroundTasks) -> None:
        self._token_endpoint = token_endpoint
        self._tasks = tasks

    def begin(self, tenant: Tenant, tokens: Tokens) -> None:
        """Begin to end the session of `tokens`, and return at once."""
        if tokens.refresh:
            self._tasks.start(self._end(tenant, tokens.refresh), "logout at Keycloak")

    async def _end(self, tenant: Tenant, refresh: str) -> None:
        last = ""
        for pause in PAUSES:
            await asyncio.sleep(pause)
            try:
                return await self._token_endpoint.end(tenant.keycloak, refresh)
            except GatewayError as error:
                last = error.what
        log.warning("keycloak_session_not_ended", tenant=tenant.id, what=last)
