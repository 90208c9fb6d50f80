"""What does every request get before a handler sees it, besides its tenant?

A request id and a language, and both in the context of the log, so that one line leads to all lines of a request.
"""

from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from gateway.domain.ports import Random
from gateway.rendering.languages import Languages
from gateway.web.language import chosen
from gateway.web.request_context import LANGUAGE, REFERENCE, REQUEST_ID, TENANT

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ID_BYTES = 9


def arrival_middleware(languages: Languages, random: Random) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Runs inside the request check: the tenant is known."""

    @web.middleware
    async def arrival(request: web.Request, handler: Handler) -> web.StreamResponse:
        tenant = request[TENANT]
        request[REQUEST_ID] = random.token_bytes(ID_BYTES).hex()
        request[LANGUAGE] = chosen(request, languages, tenant)
        with structlog.contextvars.bound_contextvars(
            request_id=request[REQUEST_ID], tenant=tenant.id, reference=request.get(REFERENCE, "")
        ):
            return await handler(request)

    return arrival
