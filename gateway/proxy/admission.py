"""Who may come in, and to which app?

The one way in: head → route, session, decision. Nothing else opens an app. What it needs of the rest of the gateway
is written down here as ports.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from aiohttp import web

from gateway.domain.problem import Problem
from gateway.domain.session import Session
from gateway.domain.tenant import Tenant
from gateway.proxy import authorization, routing
from gateway.proxy.request_check import Checked
from gateway.web import cookies


class Sessions(Protocol):
    """Where sessions are."""

    async def current(self, tenant: Tenant, cookie_value: str) -> Session | None:
        """The living session of a cookie's value; None for malformed, idle, ended, another tenant's."""

    async def used(self, session: Session) -> None:
        """A WebSocket of `session` is alive, which counts as use."""


class Streams(Protocol):
    """What is told when a session ends."""

    def register(self, session_id: str, close: Callable[[], None]) -> Callable[[], None]:
        """Call `close` when the session ends; the result forgets it."""


class ProblemResponder(Protocol):
    """Makes a page or JSON of a problem."""

    def __call__(
        self,
        request: web.Request,
        problem: Problem,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        cause: str = "",
        as_json: bool = False,
    ) -> web.StreamResponse:
        """`extra` stands beside `problem` in JSON; `cause` goes to the log only; `as_json`: JSON whatever is asked."""


class Admission:
    """Decides about every request on an app path."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def admit(self, checked: Checked, tenant: Tenant, prefix: str) -> authorization.Decision:
        """The decision; the store is asked only where it depends on a session.

        Raises what `Sessions.current` raises (`errors.Unreachable`): then nobody comes in.
        """
        found = routing.find(checked, tenant, prefix)
        session = None
        if isinstance(found, routing.RouteMatch) and not found.public and not authorization.is_preflight(checked):
            value = cookies.read(checked.all("cookie"), cookies.name_of(cookies.Cookie.SESSION, tenant))
            session = await self._sessions.current(tenant, value) if value else None
        return authorization.authorize(checked, tenant, found, session, prefix)
