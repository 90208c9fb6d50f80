"""Several tenants on one gateway, distinguished by host: nothing of one tenant counts at another."""

import copy
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.settings.live import Live
from gateway.settings.load import load
from tests.fixtures.installation import Folder, running
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.mail import MailServer
from tests.fixtures.person import JSON, Person, code_for, wrong
from tests.fixtures.site import Site, whole
from tests.fixtures.upstream import EchoUpstream

pytestmark = pytest.mark.keycloak
A, B = "a.example", "b.example"


def sibling(settings: Folder) -> dict[str, Any]:
    """Returns a second tenant on the same realm, with a separate client."""
    tenant = copy.deepcopy(settings.tenant)
    tenant |= {"tenantName": "second", "tenantId": "second"}
    tenant["tenantSettings"]["fqdn"] = B
    tenant["gateway"]["public_url"] = f"http://{B}:{settings.port}"
    tenant["gateway"]["keycloak"]["client_id"] = "cim"
    tenant["gateway"]["keycloak"]["client_secret"] = tenant["tenantSettings"]["keyCloak"]["credentials"]["secret"]
    return tenant


@pytest.fixture
async def both(
    settings: Folder, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[Site]:
    """Yields a gateway with two tenants."""
    settings.gateway["insecure_http"] = True
    settings.further.append(sibling(settings))
    settings.tenant["tenantSettings"]["fqdn"] = A
    settings.tenant["gateway"]["public_url"] = f"http://{A}:{settings.port}"
    async with whole(settings, keycloak, mail_server, echo_upstream) as site:
        yield site


def hand_over(giver: Person, taker: Person) -> None:
    """Copies all cookies of one browser into another."""
    for name, value in giver.cookies().items():
        taker.set_cookie(name, value)


@pytest.mark.row("GW-11")
@pytest.mark.attack("F25")
async def test_a_session_of_one_tenant_opens_nothing_of_another(both: Site) -> None:
    user = both.user()
    async with both.stranger(A) as at_a, both.stranger(B) as at_b:
        assert (await at_a.first_login(user.username, user.password, "a@example.com", both.mail)).step == "done"
        assert (await at_a.get("/unified-admin/")).status == 200
        hand_over(at_a, at_b)
        assert (await at_b.get("/unified-admin/")).status == 303
        assert (await at_b.get("/unified-admin/", headers=JSON)).status == 401
        assert (await at_a.get("/unified-admin/")).status == 200
    assert len(both.app.requests) == 2


@pytest.mark.row("GW-11")
@pytest.mark.attack("F25")
async def test_a_login_of_one_tenant_cannot_be_used_at_another(both: Site) -> None:
    user = both.user()
    async with both.stranger(A) as at_a, both.stranger(B) as at_b:
        await at_a.to_code(user.username, user.password, "a@example.com")
        hand_over(at_a, at_b)
        assert (await at_b.look()).step == "password"
        at_b.csrf = at_a.csrf
        refused = await at_b.do("verify", code=await code_for(both.mail, "a@example.com"))
        assert (refused.status, refused.step, refused.problem) == (403, "password", "form-expired")
        assert (await at_a.do("verify", code=await code_for(both.mail, "a@example.com"))).step == "done"


@pytest.mark.row("GW-11")
@pytest.mark.attack("F25")
async def test_an_enrolment_at_one_tenant_does_not_count_at_another_on_the_same_realm(both: Site) -> None:
    user = both.user()
    async with both.stranger(A) as at_a, both.stranger(B) as at_b:
        await at_a.first_login(user.username, user.password, "a@example.com", both.mail)
        refused = await at_b.password(user.username, user.password)
        assert (refused.step, refused.problem) == ("stopped", "enrolment-unreadable")


@pytest.mark.row("GW-11")
async def test_attempts_and_sends_at_one_tenant_do_not_count_at_another(both: Site) -> None:
    user = both.user()
    async with both.stranger(A) as at_a, both.stranger(B) as at_b:
        for _ in range(11):
            last = await at_a.password(user.username, "wrong")
        assert last.problem == "too-many-passwords"
        sent = await at_b.to_code(user.username, user.password, "b@example.com")
        assert (sent.step, sent.problem) == ("verify", None)
        code = await code_for(both.mail, "b@example.com")
        assert (await at_b.do("verify", code=wrong(code))).body["attempts_left"] == 4


@pytest.mark.row("GW-11")
@pytest.mark.parametrize("host", ["c.example", "a.example.evil.test", "sub.a.example", "127.0.0.1", "A.EXAMPLE."])
async def test_a_request_for_an_unknown_host_is_refused(both: Site, host: str) -> None:
    async with both.stranger(host) as person:
        for path in ("/unified-admin/", "/-/login", "/-/static/gateway.css", "/"):
            assert (await person.get(path)).status in (400, 421), path
    assert not both.app.requests


@pytest.mark.attack("F25")
@pytest.mark.parametrize("domain", ["example", B, f".{B}"])
async def test_a_token_cookie_that_covers_another_tenants_host_is_an_error(both: Site, domain: str) -> None:
    both.settings.tenant["gateway"]["token_cookie"] = {"domain": domain}
    both.settings.write()
    loaded = load(both.settings.file)
    assert loaded.configuration is None
    assert any("token_cookie.domain" in str(fault) for fault in loaded.errors)


@pytest.mark.attack("F25")
async def test_two_tenants_on_one_realm_with_one_client_are_an_error(both: Site) -> None:
    both.settings.further[0]["gateway"]["keycloak"] = both.settings.tenant["gateway"]["keycloak"]
    both.settings.write()
    loaded = load(both.settings.file)
    assert loaded.configuration is None
    assert any("different sign-in clients" in str(fault) for fault in loaded.errors)


@pytest.mark.row("EF-23")
@pytest.mark.parametrize("status", ["inActive", "suspended", "Active ", ""])
async def test_an_inactive_tenant_is_not_served(site: Site, status: str) -> None:
    user = site.user()
    site.settings.tenant["status"] = status
    site.settings.write()
    loaded = load(site.settings.file)
    assert loaded.configuration
    assert any("status" in str(fault) for fault in loaded.diagnostics)
    site.configuration = loaded.configuration
    async with site.person() as agent:
        for path in ("/unified-admin/", "/-/login", "/-/login/verify", "/"):
            answer = await agent.get(path)
            assert answer.status == 503, path
            assert "not available" in (await answer.text()).lower()
        reported = await agent.http.post(
            f"{site.base}/-/login/password",
            json={"username": user.username, "password": user.password, "csrf": "x"},
            headers=JSON,
        )
        assert reported.status == 503
        assert (await reported.json())["problem"]["code"] == "tenant-not-available"
    assert not site.audit.lines


@pytest.mark.row("EF-23")
async def test_a_change_of_the_status_to_active_opens_the_tenant_at_once(settings: Folder, keycloak: Keycloak) -> None:
    settings.tenant["status"] = "inActive"
    settings.write()
    live = Live(settings.file, load(settings.file))
    await live.look()
    async with running(live.current, settings.ring()), Person(settings.base) as agent:
        assert (await agent.get("/-/login")).status == 503
        settings.tenant["status"] = "active"
        settings.write()
        assert await live.look()
        assert (await agent.get("/-/login")).status == 200
        user = keycloak.admin.create_user()
        assert (await agent.password(user.username, user.password)).step == "register"
