"""`/-/handover`: a session at the host of the pages becomes one at the host of an app, by a ticket.

The pages' host issues the ticket, which names the app's host, the target, the session and the digest of the cookie that
the app's host set before. The app's host redeems it: once, soon, and in the browser with that cookie; anywhere
else it is spent too. So no other browser can use a ticket (fixation), nor be given one (login CSRF). The ticket is in
the URL: a form posted from another site would come without the cookie, which is `SameSite=Lax`.
"""

from dataclasses import dataclass, replace
from urllib.parse import quote, urlencode, urlsplit

from aiohttp import web

from gateway.crypto.key_ring import Signer
from gateway.domain.ports import Clock, Random
from gateway.domain.problem import Problem
from gateway.domain.session import Session
from gateway.keycloak.grant_queue import normalised
from gateway.login.login_records import BrowserUsers
from gateway.login.responses import token_cookie
from gateway.observe.audit import AuditEvent
from gateway.sessions.sessions import Sessions
from gateway.store.records import Records
from gateway.web import cookies, pages_host, return_to, security_headers
from gateway.web.cookies import Cookie
from gateway.web.endpoint import Endpoints, Failure, OwnRequest, Redirect, Reply
from gateway.web.pages_host import HANDOVER, digest
from gateway.web.request_context import CHECKED, browser_name

TICKET_LIFE = 30.0
"""Seconds in which a ticket counts."""
TICKET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Ticket:
    """The record of a ticket, under the digest of its secret. `session` is the id of the session at the pages' host."""

    host: str
    binding: str
    to: str
    session: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """Issues and redeems tickets."""

    tickets: Records[Ticket]
    sessions: Sessions
    browsers: BrowserUsers
    names: Signer
    clock: Clock
    random: Random

    def routes(self, endpoints: Endpoints) -> list[web.RouteDef]:
        """The route that `app` mounts."""

        async def go(own: OwnRequest) -> Reply:
            if own.tenant.apps is None and not own.tenant.pages_url:
                return Reply(Failure(Problem.NOT_FOUND))
            session = await endpoints.session(own)
            return await (self._redeem if own.tenant.apps is None else self._issue)(own, session)

        return [endpoints.get(HANDOVER, go, on_app_hosts=True)]

    async def _issue(self, own: OwnRequest, session: Session | None) -> Reply:
        """A ticket for the app's host, or first the way to a login that suffices."""
        tenant, prefix = own.tenant, own.prefix
        target = return_to.check(own.http.path_qs, tenant, prefix)
        handover = pages_host.read(target, tenant, prefix)
        if handover is None or tenant.apps is None:
            return Reply(Failure(Problem.NOT_FOUND, cause="it names no host of an app of this tenant"))
        route = tenant.route_of(urlsplit(handover.to).path)
        if session is None or not session.opens(tenant, route.path if route else ""):
            return Reply(Redirect(f"{prefix}login?to={quote(target, safe='/')}"))
        secret, until = self.random.token_bytes(TICKET_BYTES).hex(), self.clock.now() + TICKET_LIFE
        ticket = Ticket(handover.host, handover.binding, handover.to, session.id)
        await self.tickets.write(tenant.id, digest(secret), ticket, until)
        where = f"{tenant.apps.origin_of(handover.host)}{prefix}{HANDOVER}?{urlencode({'ticket': secret})}"
        return Reply(Redirect(where))

    async def _redeem(self, own: OwnRequest, session: Session | None) -> Reply:
        """The session of a ticket. Without one, the browser begins at its target again, which leads to a new ticket."""
        tenant, key = own.tenant, digest(own.http.query.get("ticket", ""))
        bound = cookies.browser_secret(own.cookies.get(Cookie.HANDOVER))
        ticket = await self.tickets.read(tenant.id, key)
        mine = ticket is not None and await self.tickets.remove(tenant.id, key)  # by one request of one replica
        if bound is None:
            return self._rejected(own, "no cookie", Failure(Problem.NO_COOKIE))
        if ticket is None or not mine:
            return self._rejected(own, "used, late or unknown", Redirect(tenant.home))
        if ticket.binding != digest(bound.value):
            return self._rejected(own, "another browser", Redirect(tenant.home))
        if ticket.host != own.http[CHECKED].host:
            return self._rejected(own, "another host", Redirect(tenant.home))
        pages = await self.sessions.live(tenant, ticket.session)
        if pages is None:
            return self._rejected(own, "the session ended", Redirect(ticket.to))
        return await self._opened(own, session, pages, ticket.to)

    async def _opened(self, own: OwnRequest, before: Session | None, pages: Session, to: str) -> Reply:
        """The answer with the new session, or with the one of this sign-in, which now has the same proofs."""
        tenant, audit = own.tenant, own.audit
        new, opened = cookies.new_browser_secret(self.random), None

        def proved(session: Session) -> Session:
            return replace(
                session,
                satisfied=pages.satisfied,
                rule=pages.rule,
                proved_at=pages.proved_at,
                routes=pages.routes,
                assisted=pages.assisted,
            )

        at = {"tag": new.tag, "secret": new.secret}
        if before and before.sign_in == pages.sign_in:
            opened = await self.sessions.reissue(tenant, before.id, proved, **at)
        elif before:
            await self.sessions.end(tenant, before.id)
        if opened is None:
            browser = browser_name(own.http.headers.get("User-Agent", ""))
            facts = {"request_id": audit.request_id, "reference": audit.reference}
            opened = await self.sessions.open_beside(tenant, pages, **at, client=audit.client, browser=browser, **facts)
        known = cookies.browser_secret(own.cookies.get(Cookie.BROWSER))
        browser_id = known or cookies.new_browser_secret(self.random)
        name = self.names.sign(tenant.id, normalised(opened.username))
        other_user = await self.browsers.remember(tenant.id, browser_id.value, name)
        given = [cookies.session(tenant, new.value), *token_cookie(tenant, opened, audit, self.clock.now())]
        if known is None:
            given.append(cookies.browser(tenant, browser_id.value))
        headers = {"Clear-Site-Data": security_headers.clear_site_data(tenant)} if other_user else {}
        return Reply(Redirect(to), cookies=tuple(given), headers=headers)

    def _rejected(self, own: OwnRequest, reason: str, body: Redirect | Failure) -> Reply:
        own.audit.write(AuditEvent.TICKET_REJECTED, reason=reason)
        return Reply(body)
