"""What a user sees around a sign-in on Keycloak's own page: cancelled, late, twice, in several tabs."""

import asyncio
import copy
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.demo.identity_provider import Realm
from gateway.demo.identity_provider.realm import Fault
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.person import Person, code_for, wrong
from tests.fixtures.sign_in_page import SignInPage, claims_of, come_back, leave, press, signed, through
from tests.fixtures.site import Site, single_sign_on
from tests.fixtures.stand_in_keycloak import StandIn

pytestmark = pytest.mark.row("GW-06")


@pytest.fixture
def realm(stand_in: StandIn) -> Iterator[Realm]:
    """Yields the realm, which behaves well again afterwards."""
    found = stand_in.realms[stand_in.server.realm]
    yield found
    found.behaviour.sign_in_error, found.behaviour.token_fault, found.behaviour.rewrite = "", None, None


async def signed_in(site: Site, person: Person, page: SignInPage) -> User:
    """Signs a new user in, with a code by mail."""
    user = site.user()
    assert user.email
    await through(person, page, user.username, user.password)
    await person.do("register", address=user.email)
    await person.do("confirm", "send")
    assert (await person.do("verify", code=await code_for(site.mail, user.email))).step == "done"
    return user


async def test_a_browser_without_a_cookie_gets_it_before_it_is_led_to_keycloak(sso_site: Site) -> None:
    async with sso_site.person() as person, SignInPage() as page:
        user = sso_site.user()
        address = await leave(person, has_cookie=False)
        assert "came" not in address
        answer = await come_back(person, await page.sign_in(address, user.username, user.password))
        assert answer.headers["Location"].startswith("/-/login/register")


async def test_a_browser_that_keeps_no_cookie_gets_a_page_about_cookies(sso_site: Site) -> None:
    async with sso_site.person() as person:
        answer = await person.get("/-/login?came=0")
        assert (answer.status, "Cookies may be blocked" in await answer.text()) == (200, True)


async def test_the_page_after_a_sign_out_says_so_and_leads_to_keycloak_by_a_button(sso_site: Site) -> None:
    async with sso_site.person() as person, SignInPage() as page:
        await signed_in(sso_site, person, page)
        await person.logout()
        assert "You&#39;re signed out" in await person.page("/-/login?signed-out=")
        assert "/protocol/openid-connect/auth?" in await press(person)


async def test_the_policy_of_the_page_lets_its_form_lead_to_keycloak(sso_site: Site) -> None:
    async with sso_site.person() as person:
        policy = (await person.get("/-/login/sso")).headers["Content-Security-Policy"]
        assert f"form-action 'self' http://127.0.0.1:{sso_site.keycloak.port};" in policy


async def test_the_data_of_the_step_name_the_address_for_a_browser(sso_site: Site) -> None:
    async with sso_site.person() as person:
        found = await person.look()
        assert (found.step, found.body["location"]) == ("sso", "/-/login?to=/unified-admin/")


async def test_the_password_page_leads_to_keycloak_and_takes_no_password(sso_site: Site) -> None:
    user = sso_site.user()
    async with sso_site.person() as person:
        await person.page("/-/login/sso")
        answer = await person.submit("password", username=user.username, password=user.password)
        assert (answer.status, answer.headers["Location"]) == (303, "/-/login?to=/unified-admin/")
        assert (await person.get("/-/login/password")).headers["Location"].startswith("/-/login?")
        assert not sso_site.audit.of("password_accepted")
        assert not sso_site.keycloak.admin.sessions(user.id)


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        ("access_denied", 200, "Sign-in was cancelled"),
        ("temporarily_unavailable", 503, "You can&#39;t sign in right now"),
        ("unauthorized_client", 503, "Sign-in isn&#39;t set up correctly"),
    ],
)
async def test_an_error_of_keycloak_is_a_page_with_a_way_on(
    sso_site: Site, realm: Realm, error: str, status: int, title: str
) -> None:
    realm.behaviour.sign_in_error = error
    async with sso_site.person() as person, SignInPage() as page:
        answer = await come_back(person, await page.open(await leave(person)))
        text = await answer.text()
        assert (answer.status, title in text, 'action="/-/login/sso"' in text) == (status, True, True)


async def test_a_failing_token_endpoint_is_a_page_that_says_so(sso_site: Site, realm: Realm) -> None:
    user = sso_site.user()
    async with sso_site.person() as person, SignInPage() as page:
        address = await page.sign_in(await leave(person), user.username, user.password)
        realm.behaviour.token_fault = Fault.ERROR
        answer = await come_back(person, address)
        assert (answer.status, "You can&#39;t sign in right now" in await answer.text()) == (503, True)


async def test_a_sign_in_that_took_longer_than_an_hour_begins_again(sso_site: Site) -> None:
    user = sso_site.user()
    async with sso_site.person() as person, SignInPage() as page:
        address = await page.sign_in(await leave(person), user.username, user.password)
        sso_site.clock.advance(3601)
        answer = await come_back(person, address)
        assert (answer.status, "Your sign-in timed out" in await answer.text()) == (403, True)


async def test_the_way_back_taken_again_leads_on_and_ends_nothing(sso_site: Site) -> None:
    user = sso_site.user()
    async with sso_site.person() as person, SignInPage() as page:
        address = await page.sign_in(await leave(person), user.username, user.password)
        await come_back(person, address)
        again = await come_back(person, address)
        assert (again.status, again.headers["Location"]) == (303, "/-/login?to=/unified-admin/")
        assert (await person.look()).step == "register"
        assert len(sso_site.keycloak.admin.sessions(user.id)) == 1


async def test_the_way_back_taken_again_after_a_lost_answer_gets_the_same_answer(sso_site: Site) -> None:
    user = sso_site.user()
    async with sso_site.person() as person, SignInPage() as page:
        address = await page.sign_in(await leave(person), user.username, user.password)
        before = person.cookie("gateway-login")
        await come_back(person, address)
        after = person.cookie("gateway-login")
        assert before
        person.set_cookie("gateway-login", before)
        again = await come_back(person, address)
        assert again.headers["Location"].startswith("/-/login/register")
        assert person.cookie("gateway-login") == after
        assert len(sso_site.keycloak.admin.sessions(user.id)) == 1


@pytest.mark.attack("F15")
async def test_the_way_back_taken_later_with_the_old_cookie_gets_nowhere(sso_site: Site) -> None:
    user = sso_site.user()
    async with sso_site.person() as person, sso_site.person() as thief, SignInPage() as page:
        address = await page.sign_in(await leave(person), user.username, user.password)
        thief.set_cookie("gateway-login", person.cookie("gateway-login") or "")
        await come_back(person, address)
        sso_site.clock.advance(31)
        answer = await come_back(thief, address)
        assert (answer.status, "gateway-session" in thief.cookies()) == (403, False)
        assert (await person.look()).step == "register"


async def test_a_second_tab_continues_the_login_of_the_first(sso_site: Site) -> None:
    user = sso_site.user()
    async with sso_site.person() as person, SignInPage() as page, SignInPage() as other:
        first, second = await leave(person), await leave(person)
        back = await other.sign_in(second, user.username, user.password)
        await come_back(person, await page.sign_in(first, user.username, user.password))
        late = await come_back(person, back)
        assert (late.status, late.headers["Location"]) == (303, "/-/login?to=/unified-admin/")
        assert (await person.look()).step == "register"


async def test_a_user_who_signs_in_again_while_signed_in_keeps_the_session(sso_site: Site) -> None:
    async with sso_site.person() as person, SignInPage() as page:
        await person.page("/-/login/sso")
        user = await signed_in(sso_site, person, page)
        answer = await come_back(person, await _signed_in_again(person, page, user))
        assert (answer.status, answer.headers["Location"]) == (303, "/unified-admin/")
        assert "authorization" in await sso_site.seen(person)
        assert len(sso_site.keycloak.admin.sessions(user.id)) == 1


async def _signed_in_again(person: Person, page: SignInPage, user: User) -> str:
    """Signs in at Keycloak again, from a page that was open before."""
    form = {"csrf": person.csrf, "to": person.target, "form": "f" * 32}
    async with person.http.post(
        f"{person.base}/-/login/sso", data=form, headers={"Sec-Fetch-Site": "same-origin"}, allow_redirects=False
    ) as answer:
        address = answer.headers["Location"]
    return await page.sign_in(address, user.username, user.password)


async def test_a_trusted_browser_asks_for_no_code_after_a_sign_in_at_keycloak(sso_site: Site) -> None:
    sso_site.change(trustBrowserDays=30)
    user = sso_site.user()
    assert user.email
    async with sso_site.person() as person, SignInPage() as page:
        await through(person, page, user.username, user.password)
        await person.do("register", address=user.email)
        await person.do("confirm", "send")
        await person.do("verify", code=await code_for(sso_site.mail, user.email), remember="on")
        await person.logout()
        answer = await through(person, page, user.username, user.password)
        assert answer.headers["Location"] == "/unified-admin/"
        assert sso_site.audit.of("session_opened")[-1]["satisfied"] == "trusted"


@pytest.mark.attack("F15")
async def test_a_login_that_wrong_codes_end_leaves_no_session_at_keycloak(sso_site: Site) -> None:
    sso_site.change(onMaxVerify="stop", otpMaxAttempts=1)
    user = sso_site.user()
    assert user.email
    async with sso_site.person() as person, SignInPage() as page:
        await through(person, page, user.username, user.password)
        await person.do("register", address=user.email)
        await person.do("confirm", "send")
        assert (await person.do("verify", code=wrong(await code_for(sso_site.mail, user.email)))).step == "stopped"
        assert await asyncio.to_thread(sso_site.keycloak.admin.soon_signed_out, user.id)


@pytest.mark.attack("F15")
async def test_a_user_who_is_disabled_after_the_sign_in_gets_no_session(sso_site: Site, realm: Realm) -> None:
    user = sso_site.user()

    def disable(body: dict[str, Any]) -> dict[str, Any]:
        sso_user = realm.user(user.id)
        assert sso_user
        sso_user.enabled = False
        return body

    realm.behaviour.rewrite = disable
    async with sso_site.person() as person, SignInPage() as page:
        answer = await through(person, page, user.username, user.password)
        assert answer.headers["Location"].startswith("/-/login/stopped")
        assert "gateway-session" not in person.cookies()


async def test_a_login_whose_cookie_was_lost_does_not_end_the_session_that_followed(sso_site: Site) -> None:
    async with sso_site.person() as lost, sso_site.person() as person, SignInPage() as page:
        user = sso_site.user()
        assert user.email
        await through(lost, page, user.username, user.password)
        await through(person, page, user.username, user.password)
        await person.do("register", address=user.email)
        await person.do("confirm", "send")
        await person.do("verify", code=await code_for(sso_site.mail, user.email))
        sso_site.clock.advance(17 * 60)
        assert await sso_site.reap() == 0
        assert len(sso_site.keycloak.admin.sessions(user.id)) == 1


async def test_a_session_by_a_value_that_the_settings_name_no_more_opens_no_app(sso_site: Site, realm: Realm) -> None:
    keycloak = sso_site.settings.tenant["gateway"]["keycloak"]
    keycloak["second_factor_by"] = {"acr": ["2"]}
    sso_site.change()
    claims = {"acr": "2"}
    realm.behaviour.rewrite = lambda body: {**body, "id_token": signed(realm, claims_of(body["id_token"]) | claims)}
    user = sso_site.user()
    async with sso_site.person() as person, SignInPage() as page:
        assert (await through(person, page, user.username, user.password)).headers["Location"] == "/unified-admin/"
        assert (await person.get("/unified-admin/")).status == 200
        keycloak["second_factor_by"] = {}
        sso_site.change()
        assert (await person.get("/unified-admin/")).status == 303


@pytest.mark.attack("F15")
async def test_the_sign_in_of_one_tenant_does_not_count_at_another(sso_site: Site, stand_in: StandIn) -> None:
    settings = sso_site.settings
    other = copy.deepcopy(settings.tenant)
    other |= {"tenantName": "other", "tenantId": "other"}
    other["tenantSettings"]["fqdn"] = "localhost"
    other["gateway"]["public_url"] = f"http://localhost:{settings.port}"
    other["gateway"]["keycloak"] = dict(other["gateway"]["keycloak"])
    first = copy.deepcopy(settings.tenant)
    settings.tenant = other
    single_sign_on(settings, stand_in.server)
    settings.further, settings.tenant = [other], first
    sso_site.change()
    user = sso_site.user()
    async with sso_site.person() as person, SignInPage() as page:
        address = await page.sign_in(await leave(person), user.username, user.password)
        there = {"Host": f"localhost:{settings.port}"}
        assert (await person.http.get(address, headers=there)).status == 403
        assert (await come_back(person, address)).status == 303


@pytest.mark.row("GW-06", "SI-08")
@pytest.mark.parametrize(
    ("named", "said", "step"),
    [
        ({"acr": ["2"]}, {"acr": "2"}, "app"),
        ({"amr": ["otp"]}, {"amr": ["pwd", "otp"]}, "app"),
        ({"acr": ["2"]}, {"acr": "1"}, "register"),
        ({"acr": ["2"]}, {"amr": ["2"]}, "register"),
        ({"amr": ["otp"]}, {"amr": "otp"}, "register"),
        ({}, {"acr": "2", "amr": ["otp"]}, "register"),
    ],
)
async def test_a_second_factor_at_keycloak_counts_only_by_a_value_that_the_tenant_names(
    sso_site: Site, realm: Realm, named: dict[str, list[str]], said: dict[str, object], step: str
) -> None:
    sso_site.settings.tenant["gateway"]["keycloak"]["second_factor_by"] = named
    sso_site.change()
    realm.behaviour.rewrite = lambda body: {
        **body,
        "id_token": signed(realm, claims_of(body["id_token"]) | said),
    }
    user = sso_site.user()
    async with sso_site.person() as person, SignInPage() as page:
        answer = await through(person, page, user.username, user.password)
        expected = "/unified-admin/" if step == "app" else "/-/login/register?to=/unified-admin/"
        assert answer.headers["Location"] == expected
        assert (await person.get("/unified-admin/")).status == (200 if step == "app" else 303)
