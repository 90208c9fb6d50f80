"""Reads a request to the login pages: the browser's cookies, the visit, and whether the form is one of ours."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from gateway.domain.ports import Random
from gateway.domain.session import Session
from gateway.domain.tenant import RouteFactor, Tenant
from gateway.login.visit import LoginRequest
from gateway.second_factor.trusted_browsers import TrustCookie
from gateway.web import cookies, return_to
from gateway.web.cookies import Cookie
from gateway.web.csrf import LOGIN, Csrf, account_act, of_own_page, same_origin
from gateway.web.forms import FormFields
from gateway.web.request_context import CLIENT_ADDRESS, CONFIGURATION, LANGUAGE, REFERENCE, REQUEST_ID, TENANT
from gateway.web.user_agent import browser_name

FORM_BYTES = 16
"""Random bytes of a form's id."""
_VERSION = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class LoginCookies:
    """What this browser's cookies say; `secret` None when it has no login cookie (its `tag` is new then)."""

    tag: str
    secret: str | None
    browser_id: str
    browser_is_new: bool
    session: str | None
    trust: TrustCookie | None


@dataclass(frozen=True, slots=True)
class LoginRequests:
    """Reads requests."""

    csrf: Csrf
    random: Random

    def browser(self, request: web.Request) -> LoginCookies:
        """The cookies."""
        headers, tenant = request.headers.getall(hdrs.COOKIE, ()), request[TENANT]

        def value(cookie: Cookie) -> str | None:
            return cookies.read(headers, cookies.name_of(cookie, tenant))

        login = cookies.browser_secret(value(Cookie.LOGIN))
        known = cookies.browser_secret(value(Cookie.BROWSER))
        trust = cookies.browser_secret(value(Cookie.TRUST))
        return LoginCookies(
            tag=login.tag if login else cookies.new_browser_secret(self.random).tag,
            secret=login.secret if login else None,
            browser_id=(known or cookies.new_browser_secret(self.random)).value,
            browser_is_new=known is None,
            session=value(Cookie.SESSION),
            trust=TrustCookie(trust.tag, trust.secret) if trust else None,
        )

    def visit(
        self, request: web.Request, browser: LoginCookies, to: str | None, session: Session | None
    ) -> LoginRequest:
        """The request as the login may know it; `to` is checked here, `session` is the browser's live one."""
        configuration, tenant = request[CONFIGURATION], request[TENANT]
        target = return_to.check(to, tenant, configuration.gateway.prefix)
        route = tenant.route_of(urlsplit(target).path)
        return LoginRequest(
            configuration=configuration,
            tenant=tenant,
            tag=browser.tag,
            client=request[CLIENT_ADDRESS],
            host=request.host.rpartition(":")[0] or request.host,
            browser=browser_name(request.headers.get(hdrs.USER_AGENT, "")),
            language=request[LANGUAGE],
            request_id=request[REQUEST_ID],
            reference=request[REFERENCE],
            to=target,
            csrf=self.csrf.token(tenant, browser.tag, LOGIN),
            app=route.path if route else "",
            route_asks=route is None or route.second_factor is RouteFactor.REQUIRED,
            secret=browser.secret,
            form=self.random.token_bytes(FORM_BYTES).hex(),
            session=session,
            browser_id=browser.browser_id,
            trust=browser.trust,
        )

    def ours(
        self, request: web.Request, tenant: Tenant, browser: LoginCookies, fields: FormFields, *, begins: bool = False
    ) -> bool:
        """Whether this form comes from one of our login pages in this browser.

        `begins`: it may begin a login; then a page will do that came with another cookie of this browser (`web.csrf`).
        """
        token = fields.get("csrf")
        if browser.secret is None or not same_origin(request.headers, tenant):
            return False
        if self.csrf.verify(tenant, browser.tag, token, LOGIN):
            return True
        return begins and of_own_page(request.headers, tenant) and self.csrf.tag_of(tenant, token, LOGIN) is not None

    def of_account_page(self, request: web.Request, tenant: Tenant, session: Session, fields: FormFields) -> bool:
        """Whether this form is a button of the account page of this very session, for what it says it is for."""
        version = fields.get("version", "")
        if not same_origin(request.headers, tenant) or not _VERSION.fullmatch(version):
            return False
        act = account_act(fields.get("act", ""), fields.get("factor", ""), int(version))
        return self.csrf.verify(tenant, session.id, fields.get("csrf"), *act)
