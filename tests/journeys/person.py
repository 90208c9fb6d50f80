"""A user at the gateway: the cookies, tabs and forms of a browser, without a browser."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from aiohttp import ClientMiddlewareType, ClientResponse, ClientSession, CookieJar
from yarl import URL

from tests.dependencies.mail import MailServer

JSON = {"Accept": "application/json"}
PAGE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}
FORM = {**PAGE, "Sec-Fetch-Site": "same-origin"}
"""The fields that a browser sends with a form of its page."""
NAMED = ("login", "round", "form")
"""The fields that each page and answer names and the next form sends back."""


@dataclass(frozen=True)
class Answer:
    """One answer of the login as a program reads it."""

    status: int
    body: dict[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def step(self) -> str:
        """Returns the current step of the login."""
        return str(self.body["step"])

    @property
    def problem(self) -> str | None:
        """Returns the problem's code."""
        problem = self.body.get("problem")
        return problem["code"] if problem else None


class _Forms(HTMLParser):
    """Collects the hidden fields of each form of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append({})
        elif tag == "input" and said.get("type") == "hidden" and self.found:
            self.found[-1][said["name"]] = said.get("value", "")


def forms_of(page: str) -> list[dict[str, str]]:
    """The hidden fields of each form of a page."""
    parser = _Forms()
    parser.feed(page)
    return parser.found


def button(page: str, kind: str, factor: str = "") -> dict[str, str]:
    """Returns the form of the account page for one act; empty if the page has none."""
    wanted = {"act": kind, "factor": factor}
    return next((form for form in forms_of(page) if {"factor": "", **form}.items() >= wanted.items()), {})


def login_form(page: str) -> dict[str, str]:
    """Returns the hidden fields of a login page's form; empty for another page."""
    return next((form for form in forms_of(page) if "round" in form), {})


@dataclass
class Tab:
    """One page of a person's browser. All tabs of a person share their cookies.

    `path` is its address, `text` the page, `fields` the hidden fields of its login form.
    """

    person: "Person"
    path: str = ""
    text: str = field(default="", repr=False)
    fields: dict[str, str] = field(default_factory=dict, repr=False)

    async def open(self, path: str) -> Self:
        """Loads a page and follows redirects."""
        url = URL(self.person.base + path, encoded=True)
        async with self.person.http.get(url, headers=PAGE) as response:
            self.path, self.text = str(response.url.relative()), await response.text()
        self.fields = login_form(self.text)
        return self

    async def post(self, step: str, action: str = "", *, base: str = "", **fields: str) -> ClientResponse:
        """Sends the form of this page without following redirects. `base` names another replica."""
        form = {**self.fields, "action": action, **fields}
        response = await self.person.http.post(
            f"{base or self.person.base}/-/login/{step}", data=form, headers=FORM, allow_redirects=False
        )
        await response.read()
        return response

    async def send(self, step: str, action: str = "", **fields: str) -> Self:
        """Sends the form of this page and follows the redirect."""
        return await self._follow(await self.post(step, action, **fields))

    async def press(self, kind: str, factor: str = "") -> Self:
        """Presses a button of the account page in this tab and follows the redirect."""
        form = button(self.text, kind, factor)
        assert form, f"no button {kind} {factor}"
        answer = await self.person.http.post(
            f"{self.person.base}/-/login", data=form, headers=FORM, allow_redirects=False
        )
        return await self._follow(answer)

    async def _follow(self, response: ClientResponse) -> Self:
        self.text = await response.text()
        self.fields = login_form(self.text)
        return await self.open(response.headers["Location"]) if response.status == 303 else self


class Person:
    """A user with separate cookies. `base` is the gateway's address, `always` the fields of every request.

    `path` is the page that `page` ended up on. `do` and `submit` send back what the page or answer before them named:
    login, round and the form's id, and within a session its target too.
    """

    def __init__(
        self,
        base: str,
        *,
        target: str = "/unified-admin/",
        always: Mapping[str, str] | None = None,
        middlewares: Sequence[ClientMiddlewareType] = (),
    ) -> None:
        self.base = base.rstrip("/")
        self._http = ClientSession(cookie_jar=CookieJar(unsafe=True), headers=always, middlewares=middlewares)
        self.csrf = ""
        self.named: dict[str, str] = {}
        self.path = ""
        self._next = ""
        self._target = target

    @property
    def target(self) -> str:
        """Returns the address that this user opens."""
        return self._target

    @target.setter
    def target(self, to: str) -> None:
        self._target = to
        self.named.pop("to", None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._http.close()

    async def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> ClientResponse:
        """Makes one request without following redirects."""
        response = await self._http.get(
            URL(self.base + path, encoded=True), headers=PAGE if headers is None else headers, allow_redirects=False
        )
        await response.read()
        return response

    async def tab(self, path: str = "") -> Tab:
        """Opens a new tab at `path` (by default at the login) and follows redirects."""
        return await Tab(self).open(path or self._beginning)

    async def page(self, path: str = "") -> str:
        """Returns the page that a browser shows at `path` (by default at the login)."""
        tab = await self.tab(path)
        self.path = tab.path
        self._shows(login_form(tab.text))
        return tab.text

    async def submit(self, step: str, action: str = "", **fields: str) -> ClientResponse:
        """Sends a form of a page as a browser does; follows redirects only before the next form."""
        form = {**await self._form(), "action": action, **fields}
        response = await self._http.post(f"{self.base}/-/login/{step}", data=form, headers=FORM, allow_redirects=False)
        to = response.headers.get("Location", "")
        self._next = to if to.startswith("/-/login") else ""
        self._shows(login_form(await response.text()))
        return response

    async def look(self) -> Answer:
        """Returns the current step of the login."""
        self._next = ""
        async with self._http.get(self.base + self._beginning, headers=JSON, allow_redirects=False) as response:
            return await self._keep(response)

    async def do(self, step: str, action: str = "", *, base: str = "", **fields: str) -> Answer:
        """Does one action of one step; `base` names another replica."""
        body = {**await self._form(), "action": action, **fields}
        async with self._http.post(
            f"{base or self.base}/-/login/{step}", json=body, headers=JSON, allow_redirects=False
        ) as response:
            return await self._keep(response)

    async def password(self, username: str, password: str) -> Answer:
        """Signs in with a password."""
        return await self.do("password", username=username, password=password)

    async def to_code(self, username: str, password: str, address: str) -> Answer:
        """Goes from the password to the code page and enrols `address` on the way."""
        assert (await self.password(username, password)).step == "register"
        assert (await self.do("register", address=address)).step == "confirm"
        return await self.do("confirm", "send")

    async def account_form(self, kind: str, factor: str = "") -> dict[str, str]:
        """Returns the form of the account page for one act; empty if the page has none."""
        return button((await self.tab("/-/account")).text, kind, factor)

    async def act(self, kind: str, factor: str = "", **fields: str) -> Answer:
        """Presses a button of the account page as a program does: begins the login for that act."""
        form = await self.account_form(kind, factor)
        assert form, f"no button {kind} {factor}"
        return await self.press({**form, **fields})

    async def press(self, form: Mapping[str, str]) -> Answer:
        """Sends a form of the account page as a program does."""
        self._next = ""
        async with self._http.post(
            f"{self.base}/-/login", json=dict(form), headers=JSON, allow_redirects=False
        ) as response:
            return await self._keep(response)

    async def begin(self, purpose: str, factor: str = "") -> Answer:
        """Begins a login inside the session: to `enrol` a factor, or to `step-up` to a route."""
        if purpose != "step-up":
            return await self.act(purpose, factor)
        await self.page()
        return await self.look()

    async def logout(self) -> ClientResponse:
        """Presses the button of the logout page."""
        page = await self.page("/-/logout")
        form = {"csrf": re.findall(r'name="csrf" value="([^"]+)"', page)[0]}
        headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
        response = await self._http.post(f"{self.base}/-/logout", data=form, headers=headers, allow_redirects=False)
        await response.read()
        return response

    async def first_login(self, username: str, password: str, address: str, mail: MailServer) -> Answer:
        """Goes from the password to the app and enrols `address` on the way."""
        before = len(mail.to(address))
        assert (await self.to_code(username, password, address)).step == "verify"
        return await self.do("verify", code=await code_for(mail, address, before + 1))

    async def login(self, username: str, password: str, address: str, mail: MailServer) -> Answer:
        """Goes from the password to the app with an enrolled address."""
        before = len(mail.to(address))
        assert (await self.password(username, password)).step == "verify"
        return await self.do("verify", code=await code_for(mail, address, before + 1))

    def cookie(self, name: str) -> str | None:
        """Returns the value of one cookie."""
        return next((c.value for c in self._http.cookie_jar if c.key == name), None)

    def cookies(self) -> dict[str, str]:
        """Returns all cookies."""
        return {c.key: c.value for c in self._http.cookie_jar}

    def set_cookie(self, name: str, value: str) -> None:
        """Sets a cookie, as an attacker could."""
        self._http.cookie_jar.update_cookies({name: value}, URL(self.base))

    @property
    def http(self) -> ClientSession:
        """Returns the HTTP client."""
        return self._http

    @property
    def _beginning(self) -> str:
        return f"/-/login?to={quote(self.target)}"

    async def _form(self) -> dict[str, str]:
        """Returns the hidden fields of the user's current page."""
        if self._next:
            await self.page(self._next)
        if not self.csrf:
            await self.look()
        return {"csrf": self.csrf, "to": self.target, **self.named}

    def _shows(self, named: Mapping[str, str]) -> None:
        """Records a page or an answer; the next form uses its fields."""
        if named:
            self.csrf = named.get("csrf", self.csrf)
            names = NAMED if named.get("purpose") == "sign-in" else (*NAMED, "to")
            self.named = {name: named[name] for name in names if name in named}

    async def _keep(self, response: ClientResponse) -> Answer:
        body = await response.json()
        if "round" in body:
            self._shows(body)
        return Answer(response.status, body, response.headers)


async def code_for(mail: MailServer, address: str, count: int = 1) -> str:
    """Returns the code of the newest mail with a code to `address`, once that number of codes has arrived."""
    while len(found := codes_to(mail, address)) < count:
        await mail.wait(len(mail.messages) + 1)
    return found[-1]


def codes_to(mail: MailServer, address: str) -> list[str]:
    """Returns the codes that were mailed to `address`."""
    found = (re.search(r"(?m)^\s*(\d{4,10})\s*$", message.text) for message in mail.to(address))
    return [match[1] for match in found if match]


def listed(page: str) -> list[str]:
    """Returns the backup codes on a page."""
    return re.findall(r"<li>([0-9A-Z]{5}-[0-9A-Z]{5})</li>", page)


def wrong(code: str) -> str:
    """Returns another code of the same length."""
    return str((int(code) + 1) % 10 ** len(code)).zfill(len(code))
