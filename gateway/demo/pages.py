"""What does the demo tell about itself? Its users and their passwords, its apps, and the inbox where codes arrive.

`/-/demo` is a page, `/-/demo/users.json` and `/-/demo/inbox.json` are the same as data. They exist in the demo only,
are given to the gateway as extra routes, and answer loopback names only.
"""

import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from aiohttp import web
from jinja2 import Environment

from gateway.demo.inbox import Inbox
from gateway.demo.loopback import is_loopback
from gateway.demo.samples import templates


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


class DemoPages:
    """The three routes."""

    def __init__(self, *, users: Sequence[DemoUser], apps: Sequence[DemoApp], inbox: Inbox, prefix: str) -> None:
        self._users = users
        self._apps = apps
        self._inbox = inbox
        self._prefix = prefix
        self._environment: Environment = templates()

    def routes(self) -> tuple[web.RouteDef, ...]:
        """For the gateway's `extra_routes`."""
        return (
            web.get(f"{self._prefix}demo", self._page),
            web.get(f"{self._prefix}demo/users.json", self._users_json),
            web.get(f"{self._prefix}demo/inbox.json", self._inbox_json),
        )

    async def _page(self, request: web.Request) -> web.Response:
        _check(request)
        nonce = secrets.token_urlsafe(16)
        text = self._environment.get_template("demo.html").render(
            users=self._users, apps=self._apps, mails=self._inbox.mails, nonce=nonce, prefix=self._prefix
        )
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; frame-ancestors 'none'"
        )
        headers = {**_HEADERS, "Content-Security-Policy": policy}
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=headers)

    async def _users_json(self, request: web.Request) -> web.Response:
        _check(request)
        return web.json_response([asdict(user) for user in self._users], headers=_HEADERS)

    async def _inbox_json(self, request: web.Request) -> web.Response:
        _check(request)
        return web.json_response([mail.as_json() for mail in self._inbox.mails], headers=_HEADERS)


_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
}


def _check(request: web.Request) -> None:
    if not is_loopback(request.headers.get("Host", "")):
        raise web.HTTPMisdirectedRequest
