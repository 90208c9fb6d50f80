"""The one form of the administration pages: access, forms, and what each page says around its content.

A form's token names session, act and target. Each act has a page of its own that asks, `GET`, and is carried out by
`POST` of that page's form. Both need a confirmation. What was typed into a form whose confirmation is over is kept in
the store, for the page after the confirmation.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from aiohttp import web

from gateway.admin.pages.access import Access
from gateway.domain.ports import Clock, Random
from gateway.domain.problem import Problem
from gateway.domain.session import Session
from gateway.observe.audit import AuditEvent
from gateway.store.records import Records
from gateway.web.csrf import foreign_origin
from gateway.web.endpoint import Endpoints, Failure, OwnRequest, Page, Redirect, Reply

KEPT_FOR = 900.0
"""Seconds for which the gateway keeps what was typed."""
NOT_KEPT = ("csrf",)


@dataclass(frozen=True, slots=True)
class Typed:
    """The fields of a form that waits for a confirmation, and the session that sent it."""

    session: str
    fields: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class AdminRequest:
    """A request of an administrator. `path` is that of the page below the prefix, `typed` what was kept for it."""

    own: OwnRequest
    session: Session
    path: str
    typed: Mapping[str, str] = field(default_factory=dict)

    @property
    def user_id(self) -> str:
        """The user in the path."""
        return self.own.http.match_info["user"]

    @property
    def by(self) -> str:
        """The administrator's name, for audit and mails."""
        return self.session.username

    def url(self, path: str) -> str:
        """The address of another administration page."""
        return f"{self.own.prefix}admin{path}"

    def page(self, template: str, current: str, status: int = 200, **context: object) -> Reply:
        """A page of the console; `current` is its entry in the navigation."""
        own = self.own
        console = {"root": self.url(""), "current": current, "name": self.session.display_name}
        token = own.token(self.session.id, "admin", self.path)
        here = own.http.path_qs if own.http.method == "GET" else f"{own.prefix}{self.path}"
        names = {"console": console, "token": token, "here": here, **context}
        return Reply(Page(f"admin/{template}.html", names), status=status)


AdminEndpoint = Callable[[AdminRequest], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Console:
    """Makes routes below `/-/admin`."""

    endpoints: Endpoints
    access: Access
    typed: Records[Typed]
    clock: Clock
    random: Random

    def read(self, path: str, endpoint: AdminEndpoint) -> web.RouteDef:
        """A page that only shows."""
        return self._get(path, endpoint, confirmed=False)

    def ask(self, path: str, endpoint: AdminEndpoint) -> web.RouteDef:
        """The page that asks before an act."""
        return self._get(path, endpoint, confirmed=True)

    def act(self, path: str, endpoint: AdminEndpoint) -> web.RouteDef:
        """The form of that page."""

        async def posted(own: OwnRequest) -> Reply:
            session = await self.endpoints.session(own)
            if session is None:
                return self._to_sign_in(own)
            below = own.http.path.removeprefix(own.prefix)
            if refused := self.access.refused(own, session):
                return refused
            if not own.is_own_form(session.id, "admin", below):
                own.audit.write(
                    AuditEvent.FORM_REJECTED, session, step=below, **foreign_origin(own.http.headers, own.tenant)
                )
                return Reply(Failure(Problem.FORM_EXPIRED))
            if not session.confirmed(self.clock.now()):
                back = await self._keep(own, session)
                return self.access.unconfirmed(own, session, back) or Reply(Redirect(back))
            if refused := await self.access.refused_to_change(own, session):
                return refused
            return await endpoint(AdminRequest(own, session, below))

        return self.endpoints.post(f"admin{path}", posted)

    def _get(self, path: str, endpoint: AdminEndpoint, *, confirmed: bool) -> web.RouteDef:
        async def shown(own: OwnRequest) -> Reply:
            session = await self.endpoints.session(own)
            if session is None:
                return self._to_sign_in(own)
            if refused := self.access.refused(own, session):
                return refused
            if confirmed and (way := self.access.unconfirmed(own, session)):
                return way
            below = own.http.path.removeprefix(own.prefix)
            return await endpoint(AdminRequest(own, session, below, await self._kept(own, session)))

        return self.endpoints.get(f"admin{path}", shown)

    def _to_sign_in(self, own: OwnRequest) -> Reply:
        to = own.http.path_qs if own.http.method == "GET" else own.http.path
        return Reply(Redirect(f"{own.prefix}login?to={quote(to, safe='/')}"))

    async def _keep(self, own: OwnRequest, session: Session) -> str:
        """Keeps what was typed; returns the address of the page that shows it again."""
        fields = {name: value for name, value in own.fields.items() if name not in NOT_KEPT}
        if not fields:
            return own.http.path
        name = self.random.token_bytes(16).hex()
        await self.typed.write(own.tenant.id, name, Typed(session.id, fields), self.clock.now() + KEPT_FOR)
        return f"{own.http.path}?typed={name}"

    async def _kept(self, own: OwnRequest, session: Session) -> Mapping[str, str]:
        name = own.http.query.get("typed", "")
        kept = await self.typed.read(own.tenant.id, name) if len(name) == 32 and name.isalnum() else None
        return kept.fields if kept and kept.session == session.id else {}
