"""The demo's own pages: its tenants and their users, its apps, the codes that users need, and the inbox.

`/-/demo` is a page; `users.json`, `inbox.json` and `codes.json` below it are the same as data. The page shows the mails
of its tenant (`mails.json`), and each as a mail program would (`mail/{number}`). With `admin-code` a
visitor makes an administrator's code for themselves. Users and codes are those of the tenant of the `Host`. The pages
exist in the demo only: they are extra routes of the gateway, and answer loopback names only.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

import pyotp
from aiohttp import hdrs, web
from jinja2 import Environment

from gateway.demo.inbox import LOOPBACK, Inbox, Mail
from gateway.demo.loopback import is_loopback
from gateway.demo.sample_apps import templates
from gateway.domain.ports import Clock
from gateway.second_factor.factors import admin_code
from gateway.second_factor.factors.admin_code import LIFE, AdminCodeFactor
from gateway.second_factor.factors.totp import INTERVAL
from gateway.web.forms import InvalidForm, read_fields

MINUTES = int(LIFE // 60)


@dataclass(frozen=True, slots=True)
class DemoUser:
    """One line of the users' list; the password is made up and public on purpose."""

    username: str
    password: str
    about: str


@dataclass(frozen=True, slots=True)
class DemoApp:
    """One app of the demo, by the path it has behind the gateway."""

    name: str
    path: str
    about: str


@dataclass(frozen=True, slots=True)
class DemoPhone:
    """The authenticator app of one user, for a visitor who has none at hand."""

    username: str
    secret: str = field(repr=False)

    def shows(self, now: float) -> dict[str, object]:
        """The code now, and how long it stands."""
        return {
            "username": self.username,
            "code": pyotp.TOTP(self.secret).at(int(now)),
            "seconds": INTERVAL - int(now) % INTERVAL,
        }


@dataclass(frozen=True, slots=True)
class DemoSite:
    """What `/-/demo` tells at one host; `addresses` (of the profiles) and `backup_codes` (those made at first) by user
    name; `ids` of the users whom an administrator's code may help, empty where none is taken."""

    tenant_id: str
    host: str
    origin: str
    name: str
    logo: str
    title: str
    story: str
    users: tuple[DemoUser, ...]
    addresses: Mapping[str, str]
    phones: tuple[DemoPhone, ...] = ()
    backup_codes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    ids: tuple[tuple[str, str], ...] = ()


class DemoPages:
    """The routes. `sites` begins with that of the default tenant."""

    def __init__(
        self,
        *,
        sites: Sequence[DemoSite],
        apps: Sequence[DemoApp],
        inbox: Inbox,
        prefix: str,
        clock: Clock,
        admin_codes: AdminCodeFactor,
    ) -> None:
        self._sites = sites
        self._apps = apps
        self._inbox = inbox
        self._prefix = prefix
        self._clock = clock
        self._admin_codes = admin_codes
        self._environment: Environment = templates()

    def routes(self) -> tuple[web.RouteDef, ...]:
        """For the gateway's `extra_routes`."""
        return (
            web.get(f"{self._prefix}demo", self._page),
            web.get(f"{self._prefix}demo/users.json", self._users_json),
            web.get(f"{self._prefix}demo/inbox.json", self._inbox_json),
            web.get(f"{self._prefix}demo/codes.json", self._codes_json),
            web.get(f"{self._prefix}demo/mails.json", self._mails_json),
            web.get(f"{self._prefix}demo/mail/{{number:[0-9]{{1,9}}}}", self._mail),
            web.get(f"{self._prefix}demo/logo.svg", self._logo),
            web.post(f"{self._prefix}demo/admin-code", self._admin_code),
        )

    async def _page(self, request: web.Request) -> web.Response:
        return self._render(self._site(request))

    async def _users_json(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(user) for user in self._site(request).users], headers=_HEADERS)

    async def _inbox_json(self, request: web.Request) -> web.Response:
        self._site(request)
        return web.json_response([mail.as_json() for mail in self._inbox.mails], headers=_HEADERS)

    async def _mails_json(self, request: web.Request) -> web.Response:
        found = [
            {**mail.as_json(), "code": mail.code, "number": mail.number} for mail in self._mails(self._site(request))
        ]
        return web.json_response(found, headers=_HEADERS)

    async def _mail(self, request: web.Request) -> web.Response:
        """The HTML part of one mail, for a frame of the page; it may do nothing."""
        number = int(request.match_info["number"])
        mail = next((mail for mail in self._mails(self._site(request)) if mail.number == number), None)
        if mail is None:
            raise web.HTTPNotFound
        policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'self'"
        headers = {**_HEADERS, "Content-Security-Policy": policy}
        return web.Response(text=mail.html, content_type="text/html", charset="utf-8", headers=headers)

    async def _logo(self, request: web.Request) -> web.Response:
        headers = {**_HEADERS, "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
        return web.Response(text=self._site(request).logo, content_type="image/svg+xml", headers=headers)

    def _mails(self, site: DemoSite) -> list[Mail]:
        senders = {site.name, site.host, *((LOOPBACK,) if site is self._sites[0] else ())}
        return [mail for mail in self._inbox.mails if mail.sender in senders]

    async def _codes_json(self, request: web.Request) -> web.Response:
        now = self._clock.now()
        return web.json_response([phone.shows(now) for phone in self._site(request).phones], headers=_HEADERS)

    async def _admin_code(self, request: web.Request) -> web.Response:
        """A code for the user of the field `username`; for a form the page with it, else JSON."""
        site = self._site(request)
        if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            raise web.HTTPForbidden
        fields = await read_fields(request)
        username = "" if isinstance(fields, InvalidForm) else fields.get("username", "")
        user_id = dict(site.ids).get(username)
        if user_id is None:
            raise web.HTTPNotFound
        code = admin_code.shown(await self._admin_codes.issue(site.tenant_id, user_id, "the demo's page"))
        if "text/html" in request.headers.get(hdrs.ACCEPT, ""):
            return self._render(site, made=(username, code))
        return web.json_response({"username": username, "code": code, "minutes": MINUTES}, headers=_HEADERS)

    def _render(self, site: DemoSite, made: tuple[str, str] | None = None) -> web.Response:
        nonce, now = secrets.token_urlsafe(16), self._clock.now()
        text = self._environment.get_template("demo.html").render(
            site=site,
            sites=self._sites,
            apps=self._apps,
            mails=self._mails(site),
            codes=[phone.shows(now) for phone in site.phones],
            made=made,
            minutes=MINUTES,
            nonce=nonce,
            prefix=self._prefix,
        )
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src 'self' data:; frame-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        )
        headers = {**_HEADERS, "Content-Security-Policy": policy}
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=headers)

    def _site(self, request: web.Request) -> DemoSite:
        """That of the host; raises 421 for a name that is not this machine's."""
        host = request.headers.get(hdrs.HOST, "")
        if not is_loopback(host):
            raise web.HTTPMisdirectedRequest
        name = urlsplit(f"//{host}").hostname
        return next((site for site in self._sites if site.host == name), self._sites[0])


_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
}
