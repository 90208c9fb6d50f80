"""A sign-in on Keycloak's own page, then the code, on the stand-in and on the real Keycloak."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fixtures.installation import folder
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.mail import MailServer
from tests.fixtures.person import code_for
from tests.fixtures.sign_in_page import SignInPage, answer_of, come_back, leave, press, through
from tests.fixtures.site import Site, single_sign_on, whole
from tests.fixtures.stand_in_keycloak import StandIn
from tests.fixtures.upstream import EchoUpstream

BOTH = ["stand-in", pytest.param("keycloak", marks=pytest.mark.keycloak)]


@pytest.fixture(params=BOTH)
async def any_site(
    request: pytest.FixtureRequest, tmp_path: Path, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[Site]:
    """Yields the gateway, whose users sign in at the stand-in or at the real Keycloak."""
    stand_in: StandIn | None = request.getfixturevalue("stand_in") if request.param == "stand-in" else None
    server: Keycloak = stand_in.server if stand_in else request.getfixturevalue("keycloak")
    settings = folder(tmp_path, keycloak=server, mail=mail_server, app=echo_upstream.url)
    single_sign_on(settings, server)
    async with whole(settings, server, mail_server, echo_upstream) as site:
        yield site


@pytest.mark.row("GW-06", "SI-08")
async def test_a_user_signs_in_at_keycloak_then_enters_a_code_and_reaches_the_app(any_site: Site) -> None:
    user = any_site.user()
    assert user.email
    async with any_site.person("/unified-admin/x?y=1") as person, SignInPage() as page:
        back = await through(person, page, user.username, user.password)
        assert (back.status, back.headers["Location"]) == (303, "/-/login/register?to=/unified-admin/x%3Fy%3D1")
        assert (await person.get("/unified-admin/")).status == 303
        await person.do("register", address=user.email)
        await person.do("confirm", "send")
        done = await person.do("verify", code=await code_for(any_site.mail, user.email))
        assert (done.step, done.body["location"]) == ("done", "/unified-admin/x?y=1")
        assert "authorization" in await any_site.seen(person)


@pytest.mark.row("GW-06")
async def test_the_request_at_keycloak_asks_for_a_sign_in_now_with_pkce_state_and_nonce(any_site: Site) -> None:
    async with any_site.person() as person:
        asked = answer_of(await leave(person))
    fixed = {name: asked[name] for name in ("response_type", "scope", "prompt", "max_age", "code_challenge_method")}
    assert fixed == {
        "response_type": "code",
        "scope": "openid",
        "prompt": "login",
        "max_age": "0",
        "code_challenge_method": "S256",
    }
    assert asked["redirect_uri"] == f"{any_site.base}/-/oidc/callback"
    assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) >= 43


@pytest.mark.row("GW-06")
async def test_the_keycloak_session_ends_with_the_session(any_site: Site) -> None:
    user = any_site.user()
    assert user.email
    async with any_site.person() as person, SignInPage() as page:
        await through(person, page, user.username, user.password)
        await person.do("register", address=user.email)
        await person.do("confirm", "send")
        await person.do("verify", code=await code_for(any_site.mail, user.email))
        assert len(any_site.keycloak.admin.sessions(user.id)) == 1
        assert (await person.logout()).status == 303
        assert await asyncio.to_thread(any_site.keycloak.admin.soon_signed_out, user.id)


@pytest.mark.attack("F15")
async def test_a_cookie_that_another_user_left_at_keycloak_signs_no_user_in(any_site: Site) -> None:
    first, second = any_site.user(), any_site.user()
    async with any_site.person() as person, any_site.person() as other, SignInPage() as page:
        await through(person, page, first.username, first.password)
        address = await leave(other)
        assert await page.open(address) == ""  # a form, in spite of the cookie
        assert "password" in page.text
        assert (await page.send(address, second.username, second.password)) == ""
        assert (await other.get("/unified-admin/")).status == 303


@pytest.mark.attack("F15")
async def test_a_login_that_the_user_ends_at_the_code_leaves_no_session_at_keycloak(any_site: Site) -> None:
    user = any_site.user()
    async with any_site.person() as person, SignInPage() as page:
        await through(person, page, user.username, user.password)
        assert len(any_site.keycloak.admin.sessions(user.id)) == 1
        await person.submit("register", "cancel")
        assert await asyncio.to_thread(any_site.keycloak.admin.soon_signed_out, user.id)


@pytest.mark.row("GW-06")
async def test_two_tabs_of_one_browser_reach_the_same_login(any_site: Site) -> None:
    user = any_site.user()
    async with any_site.person() as person, SignInPage() as page:
        first, second = await leave(person), await leave(person)
        await page.open(second)
        await come_back(person, await page.sign_in(first, user.username, user.password))
        back = await page.open(second)  # Keycloak asks once more, or returns the browser with an error
        late = await come_back(person, back or await page.send(second, user.username, user.password))
        assert (late.status, late.headers["Location"]) == (303, "/-/login?to=/unified-admin/")
        assert (await person.look()).step == "register"
        assert len(any_site.keycloak.admin.sessions(user.id)) == 1


@pytest.mark.attack("F15")
async def test_a_login_that_expires_at_the_code_leaves_no_session_at_keycloak(any_site: Site) -> None:
    user = any_site.user()
    async with any_site.person() as person, SignInPage() as page:
        await through(person, page, user.username, user.password)
        any_site.clock.advance(17 * 60)
        assert await any_site.reap() == 1
        assert await asyncio.to_thread(any_site.keycloak.admin.soon_signed_out, user.id)


@pytest.mark.row("GW-06")
async def test_a_required_action_of_a_user_is_carried_out_at_keycloak(any_site: Site) -> None:
    user = any_site.user(required_actions=("UPDATE_PASSWORD",))
    async with any_site.person() as person, SignInPage() as page:
        assert "login-actions/required-action" in await page.sign_in(await leave(person), user.username, user.password)


@pytest.mark.row("GW-06")
async def test_a_user_without_a_factor_confirms_an_act_by_signing_in_at_keycloak_again(any_site: Site) -> None:
    any_site.change(enrolment="optional")
    user = any_site.user()
    assert user.email
    async with any_site.person() as person, SignInPage() as page:
        answer = await through(person, page, user.username, user.password)
        assert answer.headers["Location"] == "/unified-admin/"
        assert (await person.begin("enrol", "email")).step == "sso"
        back = await come_back(person, await page.sign_in(await press(person), user.username, user.password))
        assert back.headers["Location"].startswith("/-/login/register")
        person.csrf = ""
        await person.do("register", address=user.email)
        await person.do("confirm", "send")
        await person.do("verify", code=await code_for(any_site.mail, user.email))
        assert "authorization" in await any_site.seen(person)
        assert len(any_site.keycloak.admin.sessions(user.id)) == 1


@pytest.mark.row("GW-06")
async def test_the_tokens_of_a_session_are_renewed_after_its_user_signed_in_at_keycloak_again(any_site: Site) -> None:
    any_site.change(enrolment="optional")
    user = any_site.user()
    async with any_site.person() as person, SignInPage() as page:
        await through(person, page, user.username, user.password)
        before = (await any_site.seen(person))["authorization"]
        await person.begin("enrol", "email")
        await come_back(person, await page.sign_in(await press(person), user.username, user.password))
        any_site.clock.advance(270)
        assert (await any_site.seen(person))["authorization"] != before


@pytest.mark.attack("F15")
async def test_another_user_who_signs_in_at_keycloak_confirms_nothing(any_site: Site) -> None:
    any_site.change(enrolment="optional")
    user, other = any_site.user(), any_site.user()
    async with any_site.person() as person, SignInPage() as page, SignInPage() as elsewhere:
        await through(person, page, user.username, user.password)
        await person.begin("enrol", "email")
        answer = await come_back(person, await elsewhere.sign_in(await press(person), other.username, other.password))
        assert (answer.status, "That&#39;s a different user" in await answer.text()) == (403, True)
        assert await asyncio.to_thread(any_site.keycloak.admin.soon_signed_out, other.id)
        assert len(any_site.keycloak.admin.sessions(user.id)) == 1
