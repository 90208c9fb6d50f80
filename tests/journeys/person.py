"""Somebody at the gateway: a browser's cookies and forms, without a browser."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from aiohttp import ClientMiddlewareType, ClientResponse, ClientSession, CookieJar
from yarl import URL

from tests.neighbours.mail import MailServer

JSON = {"Accept": "application/json"}
PAGE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}


@dataclass(frozen=True)
class Answer:
    """One answer of the login as a program reads it."""

    status: int
    body: dict[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def step(self) -> str:
        """The step the login is on."""
        return str(self.body["step"])

    @property
    def problem(self) -> str | None:
        """The problem's code."""
        problem = self.body.get("problem")
        return problem["code"] if problem else None


class Person:
    """Has cookies of its own. `base` is the gateway's address, `always` what this browser sends with every request."""

    def __init__(
        self,
        base: str,
        *,
        target: str = "/unified-admin/",
        always: Mapping[str, str] | None = None,
        middlewares: Sequence[ClientMiddlewareType] = (),
    ) -> None:
        self.base = base.rstrip("/")
        self.target = target
        self._http = ClientSession(cookie_jar=CookieJar(unsafe=True), headers=always, middlewares=middlewares)
        self.csrf = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._http.close()

    async def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> ClientResponse:
        """One request as it is; redirects are not followed."""
        response = await self._http.get(
            URL(self.base + path, encoded=True), headers=PAGE if headers is None else headers, allow_redirects=False
        )
        await response.read()
        return response

    async def page(self, path: str = "") -> str:
        """The page that a browser ends up on at `path` (else at the login)."""
        url = URL(self.base + (path or f"/-/login?to={quote(self.target)}"), encoded=True)
        async with self._http.get(url, headers=PAGE) as response:
            return await response.text()

    async def submit(self, step: str, action: str = "", **fields: str) -> ClientResponse:
        """A form of a page as a browser sends it; redirects are not followed."""
        if not self.csrf:
            await self.look()
        form = {"csrf": self.csrf, "to": self.target, "action": action, **fields}
        headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
        response = await self._http.post(
            f"{self.base}/-/login/{step}", data=form, headers=headers, allow_redirects=False
        )
        await response.read()
        return response

    async def look(self) -> Answer:
        """Where does my login stand?"""
        async with self._http.get(
            f"{self.base}/-/login?to={quote(self.target)}", headers=JSON, allow_redirects=False
        ) as response:
            return await self._keep(response)

    async def do(self, step: str, action: str = "", *, base: str = "", **fields: str) -> Answer:
        """One action of one step; `base` names another replica."""
        if not self.csrf:
            await self.look()
        body = {"csrf": self.csrf, "to": self.target, "action": action, **fields}
        async with self._http.post(
            f"{base or self.base}/-/login/{step}", json=body, headers=JSON, allow_redirects=False
        ) as response:
            return await self._keep(response)

    async def password(self, username: str, password: str) -> Answer:
        """Sign in with a password."""
        return await self.do("password", username=username, password=password)

    async def to_code(self, username: str, password: str, address: str) -> Answer:
        """From the password to the code page, registering `address` on the way."""
        assert (await self.password(username, password)).step == "register"
        assert (await self.do("register", address=address)).step == "confirm"
        return await self.do("confirm", "send")

    async def begin(self, purpose: str, factor: str = "") -> Answer:
        """Begin a login inside my session: `enrol` a factor, or `step-up` to a fresh proof."""
        if not self.csrf:
            await self.look()
        body = {"csrf": self.csrf, "to": self.target, "purpose": purpose, "factor": factor}
        async with self._http.post(f"{self.base}/-/login", json=body, headers=JSON, allow_redirects=False) as response:
            return await self._keep(response)

    async def account(self, action: str, **fields: str) -> ClientResponse:
        """Press a button of the account page: `turn-off`, `backup-codes`; redirects are not followed."""
        form = {"csrf": self.csrf, **fields}
        headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
        response = await self._http.post(
            f"{self.base}/-/account/{action}", data=form, headers=headers, allow_redirects=False
        )
        await response.read()
        return response

    async def logout(self) -> ClientResponse:
        """Press the button of the logout page."""
        page = await self.page("/-/logout")
        form = {"csrf": re.findall(r'name="csrf" value="([^"]+)"', page)[0]}
        headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
        response = await self._http.post(f"{self.base}/-/logout", data=form, headers=headers, allow_redirects=False)
        await response.read()
        return response

    async def first_login(self, username: str, password: str, address: str, mail: MailServer) -> Answer:
        """From the password to the app, registering `address` on the way."""
        before = len(mail.to(address))
        assert (await self.to_code(username, password, address)).step == "verify"
        return await self.do("verify", code=await code_for(mail, address, before + 1))

    async def login(self, username: str, password: str, address: str, mail: MailServer) -> Answer:
        """From the password to the app with a registered address."""
        before = len(mail.to(address))
        assert (await self.password(username, password)).step == "verify"
        return await self.do("verify", code=await code_for(mail, address, before + 1))

    def cookie(self, name: str) -> str | None:
        """The value of one of my cookies."""
        return next((c.value for c in self._http.cookie_jar if c.key == name), None)

    def cookies(self) -> dict[str, str]:
        """All my cookies."""
        return {c.key: c.value for c in self._http.cookie_jar}

    def set_cookie(self, name: str, value: str) -> None:
        """Plant a cookie."""
        self._http.cookie_jar.update_cookies({name: value}, URL(self.base))

    @property
    def http(self) -> ClientSession:
        """The client itself."""
        return self._http

    async def _keep(self, response: ClientResponse) -> Answer:
        body = await response.json()
        self.csrf = body.get("csrf", self.csrf)
        return Answer(response.status, body, response.headers)


async def code_for(mail: MailServer, address: str, count: int = 1) -> str:
    """The code of the newest mail to `address`, once so many have come."""
    while len(mail.to(address)) < count:
        await mail.wait(len(mail.messages) + 1)
    found = re.search(r"(?m)^\s*(\d{4,10})\s*$", mail.to(address)[-1].text)
    assert found
    return found[1]


def wrong(code: str) -> str:
    """Another code of the same length."""
    return str((int(code) + 1) % 10 ** len(code)).zfill(len(code))
