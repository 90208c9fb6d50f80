"""The user who gave the last proof of a login gets its session: logins under attack, on two replicas.

The attacker has the user's password and every cookie of the user's browser up to, not including, the answer to the last
proof (attack S1). Two gateways share one Redis; the attacker uses the other one.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any

import pytest
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

from tests.fixtures.administrator import admin_code
from tests.fixtures.installation import Folder, RecordedAudit, running
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.keycloak_admin import new_password
from tests.fixtures.mail import MailServer
from tests.fixtures.person import Person, Tab, codes_to
from tests.fixtures.phone import Phone, first_app, next_step, scan
from tests.fixtures.ports import free_port
from tests.fixtures.site import Site, whole
from tests.fixtures.upstream import EchoUpstream
from tests.fixtures.vendor_sites import CLOUDCX

pytestmark = [pytest.mark.keycloak, pytest.mark.redis]
SESSION, LOGIN, TRUST = "gateway-session", "gateway-login", "gateway-trust"
APP = "/unified-admin/"
MOST_PAGES = 10


@dataclass
class Two:
    """Two gateways on one store: `site`, and another one at `other` with the audit `reported`."""

    site: Site
    other: str
    reported: RecordedAudit

    def of(self, event: str) -> list[dict[str, Any]]:
        """Returns the audit events of one kind, from both."""
        return [*self.site.audit.of(event), *self.reported.of(event)]


@pytest.fixture
async def two(
    settings: Folder, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream, redis_url: str
) -> AsyncIterator[Two]:
    """Yields both gateways, with a separate code for each login and browsers that may be trusted."""
    settings.gateway["store"]["url"] = redis_url
    settings.two_factor.update(resendCooldown=0, trustBrowserDays=14)
    async with whole(settings, keycloak, mail_server, echo_upstream) as site:
        port = free_port()
        gateway = {**settings.gateway, "listen": f"127.0.0.1:{port}", "operations": f"127.0.0.1:{free_port()}"}
        gateway["keys"] = {"file": str(settings.path / "ring.key")}
        second = Folder(settings.path / "second", port, gateway, settings.tenant)
        async with running(second.load, settings.ring(), clock=site.clock) as reported:
            yield Two(site, second.base, reported)


@dataclass
class Received:
    """Records the cookies that answers set in one user's browser, by name."""

    names: set[str] = field(default_factory=set)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        response = await handler(request)
        self.names |= {name for name, morsel in response.cookies.items() if morsel.value}
        return response


@dataclass
class Attack:
    """A user with a factor, and an attacker that learns each cookie of the user's browser but the last."""

    two: Two
    user: User
    owner: Person
    attacker: Person
    received: Received
    phone: Phone | None
    known: list[str] = field(default_factory=list)

    def learn(self) -> None:
        """Copies the login cookie of the user's browser for the attacker."""
        cookie = self.owner.cookie(LOGIN)
        if cookie and cookie not in self.known:
            self.known.append(cookie)

    def take(self, cookie: str) -> None:
        """Sets this login cookie in the attacker's browser."""
        self.attacker.set_cookie(LOGIN, cookie)

    async def passwords(self) -> Tab:
        """Enters the password in the attacker's browser and returns the next page."""
        tab = await self.attacker.tab()
        if "password" not in tab.path and tab.fields.get("login"):
            tab.fields["login"] = ""
        await tab.send("password", username=self.user.username, password=self.user.password)
        self.known.append(self.attacker.cookie(LOGIN) or "")
        return tab

    async def code(self) -> str:
        """Returns the code that the user reads."""
        if self.phone is None:
            return codes_to(self.two.site.mail, self.user.email or "")[-1]
        next_step(self.two.site)
        return self.phone.code()

    async def walk(self, tab: Tab, *, until: str = "") -> Tab:
        """Does as the user what the pages ask, until the wanted page or the app; the attacker copies cookies."""
        for _ in range(MOST_PAGES):
            self.learn()
            step = tab.path.partition("?")[0].removeprefix("/-/login").strip("/") or "password"
            if tab.path.startswith(APP) or step == until:
                return tab
            if step == "password":
                await tab.send("password", username=self.user.username, password=self.user.password)
            else:
                assert step == "verify", tab.path
                await tab.send("verify", code=await self.code(), remember="yes")
        raise AssertionError(f"the user does not get on from {tab.path}")

    async def tries_everything(self) -> None:
        """Tries each cookie in the attacker's browser with the password and the user's code, at once and later."""
        code = await self.code() if self.phone is None else self.phone.code()
        cookies = list(dict.fromkeys(self.known))
        for cookie in cookies:
            await self.tries(cookie, code)
            self.take(cookie)
            await self.attacker.password(self.user.username, self.user.password)
            await self.tries(self.attacker.cookie(LOGIN) or "", code)
        self.two.site.clock.advance(31)
        for cookie in cookies:
            await self.tries(cookie, code)
            for path in ("/-/login", "/-/login/verify", "/-/login/done"):
                self.take(cookie)
                await self.attacker.page(f"{path}?to={APP}")

    async def tries(self, cookie: str, code: str) -> None:
        """Requests a page with one cookie in the attacker's browser, and sends the user's code."""
        self.take(cookie)
        self.attacker.csrf = ""
        await self.attacker.look()
        self.take(cookie)
        await self.attacker.do("verify", code=code, remember="yes")

    async def fails(self, tab: Tab) -> None:
        """Asserts that the user has a session and a trusted browser, and the attacker has neither."""
        assert tab.path == APP
        await self.tries_everything()
        assert (await self.owner.get(APP)).status == 200
        assert self.owner.cookie(TRUST)
        assert not self.received.names & {SESSION, TRUST, "token"}
        assert (await self.attacker.get(APP)).status == 303
        assert {line["user_id"] for line in self.two.of("session_opened")} == {self.user.id}
        assert len(self.two.of("session_opened")) == 2  # of the first login, and of this one


@pytest.fixture(params=["e-mail", "app"])
async def attack(request: pytest.FixtureRequest, two: Two) -> AsyncIterator[Attack]:
    """Returns a user with a factor, and two unused browsers."""
    site, phone = two.site, None
    if request.param == "app":
        site.settings.two_factor.update(channelType="APP")
        site.settings.two_factor.pop("channelServiceIdentifier")
        site.change()
        next_step(site)
    user = site.user()
    async with site.person() as first:
        if request.param == "app":
            phone = await first_app(site, first, user)
        else:
            await first.first_login(user.username, user.password, user.email or "", site.mail)
    received = Received()
    async with site.person() as owner, Person(two.other, middlewares=[received]) as attacker:
        yield Attack(two, user, owner, attacker, received, phone)


@pytest.mark.attack("S1")
async def test_an_attack_with_a_cookie_copied_before_the_users_sign_in_gets_no_session(attack: Attack) -> None:
    tab = await attack.owner.tab(APP)
    attack.learn()
    attack.take(attack.known[0])
    await attack.passwords()
    await attack.fails(await attack.walk(tab))


@pytest.mark.attack("S1")
async def test_an_attackers_password_while_the_user_is_at_the_code_page_gets_no_session(attack: Attack) -> None:
    tab = await attack.walk(await attack.owner.tab(APP), until="verify")
    attack.take(attack.known[-1])  # the newest secret
    joined = await attack.passwords()
    assert joined.path.startswith("/-/login/verify")
    await attack.fails(await attack.walk(tab))


@pytest.mark.attack("S1")
async def test_an_attackers_request_within_thirty_seconds_of_the_users_success_gets_no_session(attack: Attack) -> None:
    tab = await attack.walk(await attack.owner.tab(APP), until="verify")
    attack.take(attack.known[-1])
    waiting = await attack.attacker.tab("/-/login/verify")  # a form of the user's own login and round
    assert waiting.fields["login"] == tab.fields["login"]
    code = await attack.code()
    await tab.send("verify", code=code, remember="yes")
    attack.take(attack.known[-1])
    for fields in (waiting.fields, {**waiting.fields, "form": ""}):
        late = await waiting.post("verify", **{**fields, "code": code, "remember": "yes"})
        assert (late.status, late.headers["Location"]) == (303, f"/-/login?to={APP}")
        assert not late.cookies
    await attack.fails(tab)


@pytest.mark.attack("S1")
async def test_an_attackers_login_cookie_planted_in_the_users_browser_gives_the_attacker_no_session(
    attack: Attack,
) -> None:
    waiting = await attack.passwords()
    assert waiting.path.startswith("/-/login/verify")
    attack.owner.set_cookie(LOGIN, attack.known[-1])
    tab = await attack.owner.tab(APP)
    assert tab.path.startswith("/-/login/verify")  # the user continues that login
    await attack.fails(await attack.walk(tab))


@pytest.mark.attack("S1")
async def test_an_attackers_planted_login_gets_no_session_when_the_user_enters_the_password(
    attack: Attack,
) -> None:
    tab = await attack.owner.tab(APP)
    await attack.passwords()
    attack.owner.set_cookie(LOGIN, attack.known[-1])
    await tab.open(f"/-/login?to={APP}")
    tab.fields["login"] = ""
    await tab.send("password", username=attack.user.username, password=attack.user.password)
    await attack.fails(await attack.walk(tab))


@pytest.mark.attack("S1")
async def test_one_of_many_parallel_forms_with_the_correct_code_gets_the_session(attack: Attack) -> None:
    tab = await attack.walk(await attack.owner.tab(APP), until="verify")
    forms = [await attack.owner.tab("/-/login/verify") for _ in range(5)]
    code, bases = await attack.code(), (attack.two.site.base, attack.two.other)
    answers = await asyncio.gather(
        *(form.post("verify", base=bases[number % 2], code=code) for number, form in enumerate(forms))
    )
    given = [answer.cookies[SESSION].value for answer in answers if SESSION in answer.cookies]
    assert len(given) == 1
    assert {answer.status for answer in answers} == {303}
    assert (await tab.open(APP)).path == APP


@pytest.mark.attack("S1")
@pytest.mark.parametrize("attack", ["e-mail"], indirect=True)
async def test_a_replaced_login_secret_shows_changes_and_ends_nothing(attack: Attack) -> None:
    tab, second = await attack.owner.tab(APP), await attack.owner.tab(APP)
    for page in (second, tab):  # the second password continues the first one's login
        old = attack.owner.cookie(LOGIN) or ""
        await page.send("password", username=attack.user.username, password=attack.user.password)
    assert tab.fields["login"] == second.fields["login"]
    mails, fields = len(attack.two.site.mail.messages), {**tab.fields, "code": await attack.code(), "to": APP}
    attack.take(old)
    for step, action in product(("verify", "new-password"), ("", "send", "resend", "edit", "other-method", "cancel")):
        reported = await Tab(attack.attacker, fields=fields).post(step, action)
        assert (reported.status, reported.headers["Location"]) == (303, f"/-/login?to={APP}")
        assert not reported.cookies
        attack.attacker.csrf, attack.attacker.named = fields["csrf"], {}
        data = await attack.attacker.do(step, action, **fields)
        assert (data.status, data.step, data.problem) == (403, "password", "login-expired")
    shown = await attack.attacker.get(f"/-/login/verify?to={APP}")
    assert (shown.status, shown.headers["Location"]) == (303, f"/-/login?to={APP}")
    assert not attack.received.names
    assert len(attack.two.site.mail.messages) == mails
    assert not attack.two.of("code_rejected")
    assert (await attack.walk(tab)).path == APP


# ------------------------------------------------------------------------- S19: an app that needs an approval


@pytest.mark.attack("S19")
@pytest.mark.row("GW-27")
@pytest.mark.parametrize("registration", ["guarded", "admin_code"])
async def test_two_parallel_posts_of_the_correct_code_of_a_new_app_are_no_approval(two: Two, registration: str) -> None:
    site = two.site
    site.settings.two_factor.update(channelType="APP", registration=registration)
    site.settings.two_factor.pop("channelServiceIdentifier")
    site.change()
    next_step(site)
    for _ in range(4):
        user = site.user()
        async with site.person() as agent:
            phone = await scan(site, await agent.password(user.username, user.password))
            forms = [await agent.tab("/-/login/register") for _ in range(2)]
            code = phone.code()
            one = agent.do("register", code=code)
            same = agent.do("register", code=code, base=two.other)
            others = [form.post("register", base=two.other, code=code) for form in forms]
            await asyncio.gather(one, same, *others)
            assert agent.cookie(SESSION) is None
            asked = await agent.look()
            assert (asked.step, asked.body["vouching"]) == ("verify", True)
            next_step(site)
            for base in (site.base, two.other):
                assert (await agent.do("verify", base=base, code=phone.code())).problem == "wrong-code"
            assert site.keycloak.admin.attribute(user.id) == []
            assert not [line for line in two.of("session_opened") if line["user_id"] == user.id]
            assert (await agent.do("verify", code=await admin_code(site, user))).step == "done"
            assert (await agent.get(APP)).status == 200


# ------------------------------------------------------------------------- S20: a page for a new password left open


@pytest.mark.attack("S20")
@pytest.mark.row("SI-10")
@pytest.mark.parametrize("app_first", [True, False], ids=["and sets up an app", "and sets up nothing else"])
async def test_an_open_password_page_changes_nothing_after_the_owner_has_set_a_password(
    site: Site, app_first: bool
) -> None:
    site.settings.tenant["tenantSettings"]["twoFAConfigs"] = dict(CLOUDCX)
    site.change()
    user = site.user()
    temporary, mine, theirs = new_password(), new_password(), new_password()
    site.keycloak.admin.set_password(user.id, temporary, temporary=True)
    async with site.person() as attacker, site.person() as owner:
        left = await attacker.tab(APP)
        await left.send("password", username=user.username, password=temporary)
        assert left.path.startswith("/-/login/new-password")
        assert (await owner.password(user.username, temporary)).step == "new-password"
        assert (await owner.do("new-password", new_password=mine)).step == "done"
        if app_first:
            await owner.act("enrol", "totp")
            phone = await scan(site, await owner.do("password", password=mine))
            assert (await owner.do("register", code=phone.code())).step in ("backup-codes", "done")
        refused = await left.post("new-password", new_password=theirs)
        assert (refused.status, SESSION in refused.cookies) == (303, False)
        assert refused.headers["Location"].startswith("/-/login/stopped")
        assert (await attacker.get(APP)).status == 303
        assert (await owner.get(APP)).status == 200
    granted = partial(site.keycloak.grant, user.username)
    assert (granted(mine).status_code, granted(theirs).status_code) == (200, 400)
    assert [line["user_id"] for line in site.audit.of("password_changed")] == [user.id]
