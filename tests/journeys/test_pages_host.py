"""Login and account pages on a host of their own (`pages_host`), on the stand-in identity provider.

The apps are at 127.0.0.1, the pages at localhost: two hosts for the browser's cookies.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import ClientResponse
from yarl import URL

from gateway.settings.load import load
from tests.fixtures.installation import folder
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.mail import MailServer
from tests.fixtures.person import PAGE, Person, code_for, login_form
from tests.fixtures.site import Site, whole
from tests.fixtures.stand_in_keycloak import StandIn
from tests.fixtures.upstream import EchoUpstream

pytestmark = pytest.mark.row("GW-49")
APP, SESSION = "/unified-admin/", "gateway-session"


@pytest.fixture
async def apart(
    tmp_path: Path, stand_in: StandIn, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[Site]:
    """Yields a gateway whose pages are at a host of their own; the password opens the session."""
    settings = folder(tmp_path, keycloak=stand_in.server, mail=mail_server, app=echo_upstream.url)
    settings.tenant["gateway"]["pages_host"] = "localhost"
    settings.two_factor["is2FAEnabled"] = False
    async with whole(settings, stand_in.server, mail_server, echo_upstream) as site:
        yield site


class Browser:
    """One browser at both hosts; `at_app` and `at_pages` share its cookies."""

    def __init__(self, site: Site) -> None:
        self.app, self.pages = site.base, site.base.replace("127.0.0.1", "localhost")
        self.at_app, self.at_pages = Person(self.app), Person(self.pages)

    async def __aenter__(self) -> "Browser":
        await self.at_pages.http.close()
        self.at_pages._http = self.at_app.http
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.at_app.http.close()

    async def open(self, url: str) -> ClientResponse:
        """Loads a page, follows redirects and returns the last answer."""
        response = await self.at_app.http.get(URL(url, encoded=True), headers=PAGE)
        await response.read()
        return response

    async def hop(self, url: str) -> ClientResponse:
        """Loads a page without following redirects."""
        response = await self.at_app.http.get(URL(url, encoded=True), headers=PAGE, allow_redirects=False)
        await response.read()
        return response

    async def to_handover(self, user: User, path: str = APP) -> str:
        """Signs in from a page of an app; returns the address at the pages' host that issues a ticket."""
        login = await self.open(self.app + path)
        assert str(login.url).startswith(f"{self.pages}/-/login"), login.url
        self.at_pages.target = login_form(await login.text())["to"]
        done = await self.at_pages.password(user.username, user.password)
        assert done.step == "done", done.body
        return self.pages + str(done.body["location"])

    async def ticket(self, user: User, path: str = APP) -> str:
        """Signs in as far as the address with the ticket."""
        return (await self.hop(await self.to_handover(user, path))).headers["Location"]

    async def sign_in(self, user: User, path: str = APP) -> ClientResponse:
        """Signs in from a page of an app, and returns what is shown in the end."""
        return await self.open(await self.to_handover(user, path))

    def session(self, base: str) -> str | None:
        """Returns the session cookie of a host."""
        found = self.at_app.http.cookie_jar.filter_cookies(URL(base)).get(SESSION)
        return found.value if found else None

    async def opens_app(self) -> bool:
        """Returns whether the app answers this browser."""
        return (await self.hop(self.app + APP)).status == 200


async def test_a_login_on_the_pages_host_leads_back_into_the_app(apart: Site) -> None:
    async with Browser(apart) as browser:
        shown = await browser.sign_in(apart.user())
        assert (shown.status, str(shown.url)) == (200, browser.app + APP)
        assert [urlsplit(str(one.url)).path for one in shown.history] == ["/-/handover", "/-/handover"]
        assert await browser.opens_app()


async def test_the_way_back_keeps_its_query(apart: Site) -> None:
    async with Browser(apart) as browser:
        shown = await browser.sign_in(apart.user(), f"{APP}list?filter=a%26b&page=2")
        assert str(shown.url) == f"{browser.app}{APP}list?filter=a%26b&page=2"


async def test_the_second_page_of_a_browser_needs_no_redirect(apart: Site) -> None:
    async with Browser(apart) as browser:
        await browser.sign_in(apart.user())
        assert not (await browser.open(browser.app + APP)).history


@pytest.mark.attack("S2")
async def test_a_used_ticket_opens_nothing(apart: Site) -> None:
    async with Browser(apart) as browser:
        ticket = await browser.ticket(apart.user())
        assert SESSION in (await browser.hop(ticket)).cookies
        again = await browser.hop(ticket)
        assert (again.status, SESSION in again.cookies) == (303, False)
        assert [one["reason"] for one in apart.audit.of("ticket_rejected")] == ["used, late or unknown"]


@pytest.mark.attack("S2")
async def test_a_late_ticket_opens_nothing_and_leads_to_a_new_one(apart: Site) -> None:
    async with Browser(apart) as browser:
        ticket = await browser.ticket(apart.user())
        apart.clock.advance(61)
        late = await browser.hop(ticket)
        assert (late.status, SESSION in late.cookies) == (303, False)
        assert (await browser.open(browser.app + late.headers["Location"])).status == 200


@pytest.mark.attack("S2")
async def test_a_ticket_opens_nothing_in_another_browser(apart: Site) -> None:
    async with Browser(apart) as browser, Browser(apart) as other:
        handover = await browser.to_handover(apart.user())
        assert SESSION not in (await other.hop((await browser.hop(handover)).headers["Location"])).cookies
        ticket = (await browser.hop(handover)).headers["Location"]
        await other.open(other.app + APP)  # it has a cookie of its own now
        assert SESSION not in (await other.hop(ticket)).cookies
        assert [one["reason"] for one in apart.audit.of("ticket_rejected")] == ["no cookie", "another browser"]
        assert (await browser.open(browser.app + APP)).status == 200  # by a third ticket


@pytest.mark.attack("S2")
async def test_a_login_that_another_browser_began_opens_no_app_in_this_one(apart: Site) -> None:
    async with Browser(apart) as attacker, Browser(apart) as victim:
        begun = await attacker.open(attacker.app + APP)
        await victim.sign_in(apart.user())
        before = victim.session(victim.app)
        handover = victim.pages + parse_qs(urlsplit(str(begun.url)).query)["to"][0]
        ticket = (await victim.hop(handover)).headers["Location"]
        assert SESSION not in (await victim.hop(ticket)).cookies
        assert SESSION not in (await attacker.hop(ticket)).cookies  # even if the attacker saw it
        assert victim.session(victim.app) == before


@pytest.mark.attack("S2")
async def test_the_pages_host_issues_no_ticket_for_a_host_that_is_none_of_the_tenants(apart: Site) -> None:
    async with Browser(apart) as browser:
        handover = await browser.to_handover(apart.user())
        for host in ("other.example", "localhost", ""):
            forged = handover.replace("host=127.0.0.1", f"host={host}")
            assert (await browser.hop(forged)).status == 404, host


@pytest.mark.attack("S2")
async def test_the_session_of_the_pages_opens_no_app(apart: Site) -> None:
    async with Browser(apart) as browser:
        await browser.to_handover(apart.user())
        stolen = browser.session(browser.pages)
        assert stolen
        assert (await browser.hop(browser.pages + APP)).status == 404
        async with Person(browser.app) as other:
            other.set_cookie(SESSION, stolen)
            assert (await other.get(APP)).status == 303


@pytest.mark.attack("S2")
async def test_the_session_of_an_app_opens_no_page(apart: Site) -> None:
    async with Browser(apart) as browser:
        await browser.sign_in(apart.user())
        stolen = browser.session(browser.app)
        assert stolen
        assert stolen != browser.session(browser.pages)
        for base in (browser.pages, browser.app):
            async with Person(base) as other:
                other.set_cookie(SESSION, stolen)
                assert (await other.get("/-/account")).status == 303
        async with Person(browser.pages) as other:
            other.set_cookie(SESSION, stolen)
            assert (await other.get(APP)).status == 404


async def test_the_host_of_the_apps_has_no_page_of_its_own(apart: Site) -> None:
    async with Browser(apart) as browser:
        await browser.sign_in(apart.user())
        for path in ("/-/login", "/-/login/verify", "/-/account", "/-/admin"):
            sent = await browser.hop(browser.app + path)
            assert sent.status == 303, path
            assert sent.headers["Location"].startswith(browser.pages), path
        assert (await browser.hop(f"{browser.app}/-/oidc/callback?state=x&code=y")).status == 404
        posted = await browser.at_app.http.post(
            f"{browser.app}/-/login/password", data={"username": "a"}, headers=PAGE, allow_redirects=False
        )
        assert posted.status == 404


async def test_the_account_page_is_at_the_pages_host(apart: Site) -> None:
    async with Browser(apart) as browser:
        await browser.sign_in(apart.user())
        shown = await browser.open(f"{browser.app}/-/account")
        assert (shown.status, str(shown.url)) == (200, f"{browser.pages}/-/account")


async def test_a_sign_out_at_the_app_also_ends_the_session_of_the_pages(apart: Site) -> None:
    user = apart.user()
    async with Browser(apart) as browser:
        await browser.sign_in(user)
        left = await browser.at_app.logout()
        assert left.status == 303
        assert not await browser.opens_app()
        assert (await browser.hop(f"{browser.pages}/-/account")).status == 303
        assert not apart.keycloak.admin.sessions(user.id)


async def test_a_sign_out_at_the_pages_host_also_ends_the_session_of_the_app(apart: Site) -> None:
    user = apart.user()
    async with Browser(apart) as browser:
        await browser.sign_in(user)
        assert (await browser.at_pages.logout()).status == 303
        assert not await browser.opens_app()
        assert not apart.keycloak.admin.sessions(user.id)


async def test_a_step_up_on_the_pages_host_returns_to_the_app_and_keeps_its_session(apart: Site) -> None:
    apart.settings.two_factor["is2FAEnabled"] = True
    apart.settings.tenant["gateway"]["routes"][1]["second_factor"] = "off"
    apart.change()
    user = apart.user()
    assert user.email
    async with Browser(apart) as browser:
        await browser.sign_in(user, "/agent-manager/")
        before = browser.session(browser.app)
        login = await browser.open(browser.app + APP)
        assert str(login.url).startswith(f"{browser.pages}/-/login/register")
        browser.at_pages.target = login_form(await login.text())["to"]
        browser.at_pages.named = {}
        browser.at_pages.csrf = ""
        assert (await browser.at_pages.do("register", address=user.email)).step == "confirm"
        assert (await browser.at_pages.do("confirm", "send")).step == "verify"
        done = await browser.at_pages.do("verify", code=await code_for(apart.mail, user.email))
        assert (done.step, done.body["purpose"]) == ("done", "step-up")
        assert not await browser.opens_app()
        assert (await browser.open(browser.pages + str(done.body["location"]))).status == 200
        assert browser.session(browser.app) not in (None, before)
        assert (await browser.hop(f"{browser.app}/agent-manager/")).status == 200
    assert len(apart.audit.of("session_opened")) == 2  # one at each host


async def test_the_sign_in_is_not_idle_while_the_user_works_in_an_app(apart: Site) -> None:
    apart.settings.tenant["gateway"]["session"] = {"idle": 60}
    apart.change()
    async with Browser(apart) as browser:
        await browser.sign_in(apart.user())
        for _ in range(2):
            apart.clock.advance(40)
            assert await browser.opens_app()
        assert (await browser.hop(f"{browser.pages}/-/account")).status == 200
        assert await browser.opens_app()


async def test_both_sessions_of_a_sign_in_are_one_in_the_list_of_the_user(apart: Site) -> None:
    user = apart.user()
    async with Browser(apart) as browser:
        await browser.sign_in(user)
        tenant = apart.configuration.tenants[0]
        assert len(await apart.services.sessions.of_user(tenant, user.id)) == 1
        await apart.services.sessions.end_all(tenant, user.id)
        assert not await browser.opens_app()


async def test_sign_out_everywhere_else_keeps_both_sessions_of_this_browser(apart: Site) -> None:
    user = apart.user()
    async with Browser(apart) as browser, Browser(apart) as other:
        for one in (browser, other):
            await one.sign_in(user)
        tenant = apart.configuration.tenants[0]
        mine = (await apart.services.sessions.of_user(tenant, user.id))[0]
        assert len(await apart.services.sessions.end_all(tenant, user.id, mine.id)) == 1
        assert [await one.opens_app() for one in (browser, other)] == [True, False]


async def test_a_user_without_a_session_of_the_pages_signs_in_again_at_the_account_page(apart: Site) -> None:
    async with Browser(apart) as browser:
        shown = await browser.open(f"{browser.app}/-/account")
        assert str(shown.url).startswith(f"{browser.pages}/-/login?to=/-/account")


@pytest.mark.parametrize(("host", "why"), [("127.0.0.1", "is a host of the apps"), ("not a host", "")])
async def test_the_pages_have_a_host_without_apps(apart: Site, host: str, why: str) -> None:
    apart.settings.tenant["gateway"]["pages_host"] = host
    apart.settings.write()
    loaded = load(apart.settings.file)
    assert loaded.configuration is None
    assert [one for one in map(str, loaded.diagnostics) if "pages_host" in one and why in one]
