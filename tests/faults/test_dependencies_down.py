"""Tests with a dependency that is down: the message is clear, nothing opens, and a retry works when it is up again."""

import json
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.demo.identity_provider.realm import Fault
from tests.fixtures import redis
from tests.fixtures.installation import folder
from tests.fixtures.mail import MailServer
from tests.fixtures.missing import missing
from tests.fixtures.person import JSON, code_for
from tests.fixtures.site import Site, whole
from tests.fixtures.stand_in_keycloak import StandIn
from tests.fixtures.upstream import EchoUpstream

ADDRESS = "faults@example.com"


@pytest.mark.row("GW-05")
@pytest.mark.parametrize("fault", [f for f in Fault if f is not Fault.SILENT], ids=lambda f: f.value)
async def test_a_failure_of_keycloak_is_never_reported_as_a_wrong_password(
    light_site: Site, stand_in: StandIn, fault: Fault
) -> None:
    user, behaviour = light_site.user(), stand_in.realms["expertflow"].behaviour
    behaviour.token_fault = fault
    try:
        async with light_site.person() as agent:
            reported = await agent.password(user.username, user.password)
            assert (reported.step, reported.status) == ("password", 503)
            assert reported.problem != "wrong-password"
            behaviour.token_fault = None
            assert (await agent.password(user.username, user.password)).step == "register"
    finally:
        behaviour.token_fault = None
    assert not light_site.audit.of("password_rejected")


@pytest.mark.row("GW-05")
async def test_while_keycloak_is_down_the_login_page_asks_to_retry_and_open_sessions_continue(light_site: Site) -> None:
    user = light_site.user(email=None)
    key = light_site.settings.tenant["tenantSettings"]["keyCloak"]
    async with light_site.person() as inside, light_site.person() as outside:
        await inside.first_login(user.username, user.password, ADDRESS, light_site.mail)
        there, key["auth-server-url"] = key["auth-server-url"], "http://127.0.0.1:1/auth/"
        light_site.change()
        reported = await outside.submit("password", username=user.username, password=user.password)
        page = await reported.text()
        assert reported.status == 503
        assert "try again" in page.lower()
        assert f'value="{user.username}"' in page
        assert (await inside.get("/unified-admin/")).status == 200
        key["auth-server-url"] = there
        light_site.change()
        assert (await outside.password(user.username, user.password)).step == "verify"


async def test_a_failed_token_renewal_does_not_sign_the_user_out(light_site: Site, stand_in: StandIn) -> None:
    user, behaviour = light_site.user(email=None), stand_in.realms["expertflow"].behaviour
    async with light_site.person() as agent:
        await agent.first_login(user.username, user.password, ADDRESS, light_site.mail)
        behaviour.token_fault = Fault.ERROR
        try:
            light_site.clock.advance(270)
            assert (await agent.get("/unified-admin/")).status == 200  # the old token is still valid
            light_site.clock.advance(31)
            refused = await agent.get("/unified-admin/")
            assert refused.status == 503
            assert "gateway-session" not in refused.cookies
        finally:
            behaviour.token_fault = None
        light_site.clock.advance(6)
        assert (await agent.get("/unified-admin/")).status == 200


@pytest.mark.parametrize("ended", [False, True], ids=["token valid", "token ended"])
async def test_a_user_can_sign_out_while_keycloak_is_down(light_site: Site, stand_in: StandIn, ended: bool) -> None:
    user, behaviour = light_site.user(email=None), stand_in.realms["expertflow"].behaviour
    async with light_site.person() as agent:
        await agent.first_login(user.username, user.password, ADDRESS, light_site.mail)
        session = agent.cookie("gateway-session")
        light_site.clock.advance(301 if ended else 0)
        behaviour.token_fault = Fault.ERROR
        try:
            assert (await agent.logout()).status == 303
            assert agent.cookie("gateway-session") is None
            agent.set_cookie("gateway-session", str(session))
            assert (await agent.get("/unified-admin/")).status == 303
        finally:
            behaviour.token_fault = None


async def test_an_enrolment_that_cannot_be_saved_is_retried_without_a_new_code(
    light_site: Site, stand_in: StandIn
) -> None:
    user, behaviour = light_site.user(email=None), stand_in.realms["expertflow"].behaviour
    async with light_site.person() as agent:
        await agent.to_code(user.username, user.password, ADDRESS)
        code = await code_for(light_site.mail, ADDRESS)
        behaviour.put_fault = Fault.ERROR
        try:
            reported = await agent.do("verify", code=code)
            assert reported.status == 503
            assert (await agent.get("/unified-admin/")).status == 303
        finally:
            behaviour.put_fault = None
        assert (await agent.look()).step == "done"
        assert (await agent.get("/unified-admin/")).status == 200
    assert len(light_site.mail.to(ADDRESS)) == 1
    assert light_site.keycloak.admin.attribute(user.id)


@pytest.mark.parametrize("again", ["the app", "the same form"])
async def test_a_correct_code_is_not_lost_when_keycloak_is_down_as_the_session_opens(
    light_site: Site, again: str
) -> None:
    user = light_site.user(email=None)
    async with light_site.person() as agent:
        await agent.first_login(user.username, user.password, ADDRESS, light_site.mail)
    key = light_site.settings.tenant["tenantSettings"]["keyCloak"]
    async with light_site.person() as agent:
        await agent.password(user.username, user.password)
        code, tab = await code_for(light_site.mail, ADDRESS, 2), await agent.tab()
        there, key["auth-server-url"] = key["auth-server-url"], "http://127.0.0.1:1/auth/"
        light_site.change()
        reported = await tab.post("verify", code=code)
        assert (reported.status, "gateway-session" in reported.cookies) == (503, False)
        key["auth-server-url"] = there
        light_site.change()
        if again == "the app":
            await tab.open("/unified-admin/")
        else:
            await tab.send("verify", code=code)
        assert tab.path == "/unified-admin/"
        assert (await agent.get("/unified-admin/")).status == 200
    assert len(light_site.mail.to(ADDRESS)) == 2


async def test_a_relay_that_is_down_costs_the_user_no_send_and_no_cooldown(light_site: Site) -> None:
    user = light_site.user(email=None)
    async with light_site.person() as agent:
        await light_site.mail.stop()
        failed = await agent.to_code(user.username, user.password, ADDRESS)
        assert (failed.status, failed.step, failed.problem) == (503, "verify", "send-failed")
        assert ADDRESS not in str(failed.body["problem"])
        await light_site.mail.start()
        assert (await agent.do("verify", "resend")).problem is None
        assert (await agent.do("verify", code=await code_for(light_site.mail, ADDRESS))).step == "done"
    assert [line["problem"] for line in light_site.audit.of("code_not_sent")] == ["send-failed"]


async def test_a_recipient_refused_by_the_relay_is_reported_in_general_terms_and_can_be_changed(
    light_site: Site,
) -> None:
    user = light_site.user(email=None)
    async with light_site.person() as agent:
        light_site.mail.switches.refuse_recipient = "550 5.1.1 no such user here"
        failed = await agent.to_code(user.username, user.password, "nobody@example.com")
        assert (failed.step, failed.problem) == ("verify", "send-failed")
        assert "no such user" not in str(failed.body)
        light_site.mail.switches.refuse_recipient = ""
        assert (await agent.do("verify", "edit")).step == "register"
        await agent.do("register", address=ADDRESS)
        assert (await agent.do("confirm", "send")).problem is None
        assert (await agent.do("verify", code=await code_for(light_site.mail, ADDRESS))).step == "done"


async def test_for_an_app_that_is_down_browsers_get_a_page_and_scripts_get_json(light_site: Site) -> None:
    user = light_site.user(email=None)
    async with light_site.person() as agent:
        await agent.first_login(user.username, user.password, ADDRESS, light_site.mail)
        await light_site.app.stop()
        page = await agent.get("/unified-admin/")
        assert (page.status, page.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
        script = await agent.get("/unified-admin/api", headers={**JSON, "Sec-Fetch-Site": "same-origin"})
        assert (script.status, json.loads(await script.text())["problem"]["code"]) == (502, "app-unavailable")
        await light_site.app.start()
        assert (await agent.get("/unified-admin/")).status == 200


@pytest.fixture
async def on_redis(
    tmp_path: Path, stand_in: StandIn, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[tuple[Site, object]]:
    """Yields the gateway on a Redis; the second value stops that Redis."""
    program = shutil.which("redis-server")
    if not program:
        missing("redis-server", "install it (Debian: redis-server)")
    (tmp_path / "redis").mkdir()
    running = redis.server(program, tmp_path / "redis")
    port = running.__enter__()
    url = f"redis://127.0.0.1:{port}/0"
    settings = folder(tmp_path, keycloak=stand_in.server, mail=mail_server, app=echo_upstream.url, store=url)
    settings.gateway["store"]["timeout"] = 1
    async with whole(settings, stand_in.server, mail_server, echo_upstream) as site:
        yield site, lambda: running.__exit__(None, None, None)


@pytest.mark.redis
async def test_without_the_store_no_user_gets_in_and_no_session_cookie_is_cleared(
    on_redis: tuple[Site, object],
) -> None:
    site, stop = on_redis
    assert callable(stop)
    user = site.user(email=None)
    async with site.person() as agent, site.person() as other:
        await agent.first_login(user.username, user.password, ADDRESS, site.mail)
        assert (await agent.get("/unified-admin/")).status == 200
        await other.look()
        before = len(site.app.requests)
        stop()
        refused = await other.password(user.username, user.password)
        assert (refused.status, refused.body["problem"]["code"]) == (503, "store-unavailable")
        assert "step" not in refused.body or refused.body["step"] == "password"
        for _ in range(3):
            answer = await agent.get("/unified-admin/")
        assert answer.status == 503
        assert "Set-Cookie" not in answer.headers
        assert len(site.app.requests) <= before + 3
        assert (await other.get("/unified-admin/")).status == 303


@pytest.mark.redis
async def test_a_sign_out_without_the_store_clears_the_browsers_cookies(on_redis: tuple[Site, object]) -> None:
    site, stop = on_redis
    assert callable(stop)
    user = site.user(email=None)
    async with site.person() as agent:
        await agent.first_login(user.username, user.password, ADDRESS, site.mail)
        page = await agent.page("/-/logout")
        form = {"csrf": re.findall(r'name="csrf" value="([^"]+)"', page)[0]}
        stop()
        headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
        response = await agent.http.post(f"{site.base}/-/logout", data=form, headers=headers, allow_redirects=False)
        assert response.status == 503
        assert set(agent.cookies()) == {"gateway-browser"}
        assert response.headers["Clear-Site-Data"] == '"cache"'
