"""Tests of what a script of a proxied app can do to the gateway's pages, which have the same origin, in a real browser.

`docs/security.md` lists what such a script can and cannot do.
"""

import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import NewAgent
from tests.browser.scripted_app import (
    ACTIVE,
    NONE_LEFT,
    REGISTER,
    TAKEN_OVER,
    UPDATED_AWAY,
    WORKERS,
    ChangingSite,
    ScriptedApp,
    Victim,
)
from tests.fixtures import stand_in_keycloak as stand_in
from tests.fixtures.clock import FakeClock
from tests.fixtures.installation import Folder, RecordedAudit, folder, running
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.mail import MailServer
from tests.fixtures.person import code_for
from tests.fixtures.ports import free_port

pytestmark = pytest.mark.browser
APP, WITH_WORKER = "/unified-admin/", "/agent-manager/"
OWN_PAGES = ("/-/account", "/-/logout")


@pytest.fixture(scope="module")
def keycloak() -> Iterator[Keycloak]:
    """Returns the stand-in, because nothing here depends on Keycloak."""
    with stand_in.running() as server:
        yield server.server


@pytest.fixture
def app() -> ScriptedApp:
    """Yields the app behind every route."""
    return ScriptedApp()


@pytest.fixture
async def settings(
    tmp_path: Path, keycloak: Keycloak, mail_server: MailServer, app: ScriptedApp
) -> AsyncIterator[Folder]:
    """The password opens the session. One route has no service worker, one has, and the route at the root has one."""
    async with app.serving(free_port()) as url:
        made = folder(tmp_path, keycloak=keycloak, mail=mail_server, app=url)
        made.two_factor["is2FAEnabled"] = False
        made.tenant["gateway"]["routes"][1]["service_worker"] = True
        made.tenant["gateway"]["routes"].append({"path": "/", "to": url, "service_worker": True})
        yield made


@pytest.fixture
async def site(settings: Folder, keycloak: Keycloak, mail_server: MailServer) -> AsyncIterator[ChangingSite]:
    """Yields the running gateway."""
    clock = FakeClock(time.time())
    made = ChangingSite(settings.base, RecordedAudit(), clock, keycloak, mail_server, settings, settings.load())
    async with running(lambda: made.configuration, settings.ring(), clock=clock) as made.audit:
        yield made


@pytest.fixture
async def victim(site: ChangingSite, app: ScriptedApp, new_agent: NewAgent) -> AsyncIterator[Victim]:
    """Yields a signed-in user at a page of the app whose scripts the test writes."""
    agent = await new_agent()
    await agent.open(APP)
    await agent.password()
    await agent.page.wait_for_url(agent.base + APP)
    yield Victim(agent, app, site)
    agent.complaints.said.clear()  # the browser correctly reports such scripts


async def test_no_service_worker_of_an_app_controls_the_gateways_pages(victim: Victim) -> None:
    victim.app.fields["Service-Worker-Allowed"] = "/"
    attempts: list[tuple[str, dict[str, str], str]] = [
        (f"{APP}worker.js", {}, ""),
        (f"{APP}worker.js", {"scope": "/"}, "SecurityError"),
        (f"{WITH_WORKER}worker.js", {"scope": "/"}, "SecurityError"),
        ("/worker.js", {}, ""),
        ("/worker.js", {"scope": "/-/", "updateViaCache": "all"}, ""),
        ("/-/static/app.js", {}, ""),
    ]
    for script, options, error in attempts:
        assert await victim.run(REGISTER, [script, options]) == error, (script, options)
        await victim.run(NONE_LEFT)
        assert await victim.title("/-/account") != TAKEN_OVER, (script, options)
    assert TAKEN_OVER not in [await victim.title(path) for path in (*OWN_PAGES, APP)]
    assert {path for path, _ in victim.app.asked if path.endswith(".js")} == {"/worker.js"}  # of the route with workers


async def test_an_allowed_service_worker_controls_only_its_folder_until_the_setting_forbids_it(
    victim: Victim,
) -> None:
    assert await victim.run(REGISTER, [f"{WITH_WORKER}worker.js", {}]) == ""
    await victim.run(ACTIVE, WITH_WORKER)
    assert await victim.title(WITH_WORKER) == TAKEN_OVER
    assert TAKEN_OVER not in [await victim.title(path) for path in (APP, *OWN_PAGES)]
    victim.site.settings.tenant["gateway"]["routes"][1]["service_worker"] = False
    victim.site.change()
    await victim.run(UPDATED_AWAY)
    assert await victim.title(WITH_WORKER) == "App"


async def test_a_service_worker_is_unregistered_at_its_next_update_after_the_sign_out(victim: Victim) -> None:
    assert await victim.run(REGISTER, [f"{WITH_WORKER}worker.js", {}]) == ""
    await victim.run(ACTIVE, WITH_WORKER)
    await victim.sign_out()
    await victim.run(UPDATED_AWAY)
    assert await victim.title(WITH_WORKER) != TAKEN_OVER


async def test_a_service_worker_registered_before_the_gateway_is_unregistered_at_its_next_update(
    browser: Browser, settings: Folder, app: ScriptedApp
) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    async with app.serving(settings.port):
        await page.goto(settings.base)
        assert await page.evaluate(REGISTER, ["/worker.js", {}]) == ""
        await page.wait_for_function("() => navigator.serviceWorker.controller !== null")
    configuration = settings.load()
    async with running(configuration, settings.ring()):
        await page.goto(f"{settings.base}/-/login")
        assert await page.title() == TAKEN_OVER  # otherwise the assertions below show nothing
        await page.evaluate(NONE_LEFT)  # the browser updates a worker by itself after a page that it answered
        await page.goto(f"{settings.base}/-/login")
        await page.get_by_label("Username").wait_for()
    await context.close()


KEPT = f"""() => fetch("{APP}kept", {{cache: "only-if-cached", mode: "same-origin"}}).then((a) => a.ok, () => false)"""


async def test_the_sign_out_clears_the_cache_and_also_the_storage_where_the_tenant_says_so(victim: Victim) -> None:
    async def left() -> list[object]:
        await victim.run(f"() => fetch('{APP}kept').then((a) => a.text())")
        await victim.run("() => localStorage.setItem('mine', '1')")
        assert await victim.run(REGISTER, [f"{WITH_WORKER}worker.js", {}]) == ""
        await victim.run(ACTIVE, WITH_WORKER)
        assert await victim.run(KEPT) is True
        await victim.sign_out()
        return [await victim.run(script) for script in (KEPT, "() => localStorage.length", WORKERS)]

    assert await left() == [False, 1, [f"{victim.agent.base}{WITH_WORKER}"]]
    victim.site.settings.tenant["gateway"]["clear_storage_at_sign_out"] = True
    victim.site.change()
    await victim.agent.open(APP)
    await victim.agent.password()
    await victim.page.wait_for_url(victim.agent.base + APP)
    assert await left() == [False, 0, []]


POPUP = """async (path) => {
  const popup = window.open(path);
  try {
    while (popup.location.href === "about:blank" || popup.document.readyState !== "complete") {
      if (popup.closed) return "";
      await new Promise((go) => setTimeout(go, 10));
    }
    return popup.document.documentElement.outerHTML;
  } catch (error) {
    return error.name === "SecurityError" ? "" : error.name;
  }
}"""
FRAME = """(path) => new Promise((end) => {
  const frame = document.createElement("iframe");
  frame.src = path;
  frame.onload = () => end(frame.contentDocument ? frame.contentDocument.documentElement.outerHTML : "");
  document.body.append(frame);
})"""
"""Opens a page of the same origin; returns what the script can read of it."""


async def test_a_script_of_an_app_cannot_read_the_gateways_pages_in_a_popup_or_frame(victim: Victim) -> None:
    for policy in ("noopener-allow-popups", "same-origin-allow-popups", "same-origin"):
        victim.app.fields["Cross-Origin-Opener-Policy"] = policy
        await victim.page.reload()
        assert await victim.run(POPUP, "/-/account") == "", policy
    for way in (POPUP, FRAME):
        assert "Nothing to see" in await victim.run(way, f"{WITH_WORKER}x")  # otherwise an empty answer shows nothing
        assert [await victim.run(way, path) for path in OWN_PAGES] == ["", ""]
    await victim.sign_out()
    assert [await victim.run(way, "/-/login") for way in (POPUP, FRAME)] == ["", ""]


OVERFLOW = """() => {
  for (let n = 0; n < 250; n++) document.cookie = `junk${n}=1; Secure; Path=/; Max-Age=3600`;
  return document.cookie.length;
}"""
"""Fills the browser's jar for this host; cookies without `Secure` would not crowd out those with it (Chromium 156)."""

PLANT = "(cookie) => { document.cookie = cookie; return document.cookie.length; }"


async def jar(page: Page) -> dict[str, tuple[str, bool]]:
    """Returns the value of each cookie, and whether scripts can read it."""
    return {one["name"]: (one["value"], one["httpOnly"]) for one in await page.context.cookies()}


async def test_a_script_that_overflows_the_cookie_jar_signs_the_user_out_and_opens_nothing(victim: Victim) -> None:
    before = await jar(victim.page)
    await victim.run(PLANT, "gateway-session=mine; Path=/")
    assert await jar(victim.page) == before  # a script overwrites no HttpOnly cookie
    await victim.run(OVERFLOW)
    assert "gateway-session" not in await jar(victim.page)
    asked = len(victim.app.asked)
    assert (await victim.title(APP)).startswith("Sign in")
    await victim.run(PLANT, "gateway-session=mine; Path=/")
    assert (await victim.title(APP)).startswith("Sign in")
    assert len(victim.app.asked) == asked


async def test_a_script_can_set_a_host_cookie_but_no_host_http_cookie(browser: Browser, site: ChangingSite) -> None:
    """This behaviour of Chromium is the reason for the names of the gateway's cookies."""
    page = await (await browser.new_context()).new_page()
    await page.goto(f"{site.base}/-/login")
    for prefix in ("__Host-Http-", "__Http-", "__Host-"):
        await page.evaluate(PLANT, f"{prefix}gateway-login=mine; Secure; Path=/")
    planted = await jar(page)
    assert {name for name in planted if name.endswith("gateway-login")} == {"gateway-login", "__Host-gateway-login"}
    assert planted["gateway-login"][1]
    await page.context.close()


# ------------------------------------------------------------------ the second factor of a user who is signed in

FETCH = """async ([path, given]) => {
  history.replaceState(null, "", path.split("?")[0]);
  const answer = await fetch(path, given);
  return [answer.status, await answer.text()];
}"""
"""Fetches a page of the gateway with its address as the referrer."""
SUBMIT = """([action, fields]) => {
  const form = document.createElement("form");
  form.method = "post";
  form.action = action;
  for (const [name, value] of Object.entries(fields)) {
    const field = document.createElement("input");
    [field.name, field.value] = [name, value];
    form.append(field);
  }
  document.body.append(form);
  form.submit();
}"""
"""Sends a form as a navigation: it arrives as the user's own would."""
ADDRESS = "victim@example.com"


@pytest.fixture
async def protected(victim: Victim) -> Victim:
    """Yields the same user, who has set up e-mail and has backup codes."""
    victim.site.settings.two_factor.update(is2FAEnabled=True, backupCodes=10)
    victim.site.change()
    await victim.sign_out()
    agent = victim.agent
    await agent.open(APP)
    await agent.password()
    await agent.register(ADDRESS)
    await agent.confirm()
    await agent.verify(await code_for(victim.site.mail, ADDRESS))
    await agent.page.locator("[data-codes] li").first.wait_for()
    await agent.button("I've saved my codes")
    await agent.page.wait_for_url(agent.base + APP)
    return victim


async def hidden_fields(victim: Victim, act: str) -> dict[str, str]:
    """Returns the fields of one button of the account page, as the user's tab has them."""
    tab = await victim.page.context.new_page()
    await tab.goto(f"{victim.agent.base}/-/account")
    form = tab.locator("form", has=tab.locator(f'input[name="act"][value="{act}"]')).first
    fields = await form.locator("input").evaluate_all("(all) => all.map((one) => [one.name, one.value])")
    await tab.close()
    return {str(name): str(value) for name, value in fields}


@pytest.mark.row("GW-46")
@pytest.mark.attack("S2")
async def test_a_script_can_neither_fetch_a_page_of_the_gateway_nor_post_a_form_to_it_by_fetch(
    protected: Victim,
) -> None:
    fields = await hidden_fields(protected, "show-codes")
    body = {
        "method": "POST",
        "body": urlencode(fields),
        "headers": {"Content-Type": "application/x-www-form-urlencoded"},
    }
    for path in ("/-/account", "/-/login", "/-/login/verify", "/-/login/backup-codes", "/-/logout"):
        for accept in ("text/html", "application/json"):
            status, text = await protected.run(FETCH, [path, {"headers": {"Accept": accept}}])
            assert status == 403, path
            assert not re.search(r"""csrf["']?( value=|: ?)"[^"]""", text), path
    for path in ("/-/login", "/-/login/verify"):
        assert (await protected.run(FETCH, [path, body]))[0] == 403, path
    assert not protected.site.audit.of("backup_codes_shown")


@pytest.mark.row("GW-46")
@pytest.mark.attack("S2")
async def test_a_form_submitted_by_a_script_with_the_users_token_shows_and_changes_nothing(
    protected: Victim,
) -> None:
    """Even if a script had the form: right after the sign-in the code is asked for, on a page that the script cannot
    read."""
    reported = protected.site.audit
    for act in ("show-codes", "new-codes", "enrol", "sign-out-everywhere"):
        protected.site.clock.advance(61)
        fields = await hidden_fields(protected, act)
        await protected.agent.open(APP)
        await protected.run(SUBMIT, ["/-/login", fields])
        await protected.page.locator("#code").wait_for()
        assert await protected.page.locator("[data-codes]").count() == 0
    for event in ("backup_codes_shown", "backup_codes_renewed", "signed_out_everywhere"):
        assert not reported.of(event)
    assert len(reported.of("enrolment_added")) == 1


@pytest.mark.row("GW-46")
@pytest.mark.attack("S2")
async def test_a_form_with_the_token_of_another_act_is_refused(protected: Victim) -> None:
    fields = await hidden_fields(protected, "show-codes")
    for other in ({"act": "new-codes"}, {"act": "enrol", "factor": "totp"}, {"version": "9"}, {"csrf": "made-up"}):
        await protected.agent.open(APP)
        await protected.run(SUBMIT, ["/-/login", fields | other])
        await protected.page.wait_for_url("**/-/account?done=out-of-date")
        await expect(protected.page.get_by_text("The page was out of date")).to_be_visible()
    assert len(protected.site.audit.of("form_rejected")) == 4


# ------------------------------------------------------------------ with pages on a host of their own

READ = """async (path) => {
  try {
    const answer = await fetch(path, { headers: { Accept: "text/html" } });
    return await answer.text();
  } catch (error) {
    return "";
  }
}"""


@pytest.mark.row("GW-49")
@pytest.mark.attack("S2")
async def test_with_a_pages_host_a_script_of_an_app_finds_nothing_to_read_or_post_to(
    settings: Folder, site: ChangingSite, app: ScriptedApp, new_agent: NewAgent
) -> None:
    settings.tenant["gateway"]["pages_host"] = "localhost"
    site.change()
    agent = await new_agent()
    await agent.open(APP)
    pages = agent.base.replace("127.0.0.1", "localhost")
    assert agent.page.url.startswith(f"{pages}/-/login")
    await agent.password()
    await agent.page.wait_for_url(agent.base + APP)
    assert not agent.complaints.said
    victim = Victim(agent, app, site)
    for base in ("", pages):
        for path in ("/-/account", "/-/login", "/-/login/verify", "/-/handover"):
            text = await victim.run(READ, base + path)
            assert not re.search(r"""csrf["']?( value=|: ?)"[^"]""", text), base + path
            assert await victim.run(POPUP, base + path) == "", base + path
    await victim.run(SUBMIT, [f"{pages}/-/login", {"act": "show-codes", "version": "0", "csrf": "made-up"}])
    await victim.page.wait_for_url(f"{pages}/**")  # the answer is shown: the next navigation interrupts nothing
    assert await victim.page.locator("[data-codes]").count() == 0
    await agent.open(APP)
    assert agent.page.url == agent.base + APP
    assert all("CORS policy" in said for said in agent.complaints.said)
    agent.complaints.said.clear()
