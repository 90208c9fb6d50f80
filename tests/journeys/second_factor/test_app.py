"""EFCX with an authenticator app, and a tenant that changes its channel."""

import re

import pytest

from tests.fixtures.phone import Phone, first_app, next_step, scan
from tests.fixtures.site import Site
from tests.fixtures.vendor_sites import EFCX_APP

pytestmark = pytest.mark.keycloak


async def test_the_first_login_enrols_an_app_and_the_second_requires_its_code(app_site: Site) -> None:
    user = app_site.user()
    async with app_site.person() as agent:
        phone = await first_app(app_site, agent, user)
        assert (await app_site.seen(agent))["authorization"].startswith("Bearer ")
    async with app_site.person() as again:
        asked = await again.password(user.username, user.password)
        assert (asked.step, asked.body["factor"], asked.body["sent_to"]) == ("verify", "totp", None)
        assert (await again.do("verify", code=phone.code())).step == "done"
    assert not app_site.audit.of("code_sent")


@pytest.mark.attack("F24")
async def test_a_new_app_can_be_enrolled_right_after_the_start_of_the_gateway(site: Site) -> None:
    site.settings.tenant["tenantSettings"]["twoFAConfigs"] = dict(EFCX_APP)
    site.change()
    user = site.user()
    async with site.person() as agent:
        phone = await scan(site, await agent.password(user.username, user.password))
        code = phone.code()
        assert (await agent.do("register", code=code)).step == "done"
    async with site.person() as again:
        await again.password(user.username, user.password)
        assert (await again.do("verify", code=code)).problem == "next-code"


async def test_the_enrolment_page_shows_a_qr_code_and_the_secret_and_accepts_the_code(app_site: Site) -> None:
    user = app_site.user()
    async with app_site.person() as agent:
        shown = await agent.password(user.username, user.password)
        assert shown.body["otpauth"].startswith("otpauth://totp/")
        page = await agent.page("/-/login/register")
        assert "<svg" in page
        assert re.sub(r"\s|<[^>]+>", "", page).count(shown.body["secret"]) >= 1
        assert 'autocomplete="one-time-code"' in page


def shown_secret(page: str) -> str:
    """Returns the app's secret as the page shows it."""
    return re.sub(r"\s|<[^>]+>", "", re.findall(r'class="secret"[^>]*>(.*?)</p>', page, re.DOTALL)[0])


async def test_the_secret_stays_the_same_on_each_view_of_the_enrolment_page(app_site: Site) -> None:
    user = app_site.user()
    async with app_site.person() as agent:
        first = (await agent.password(user.username, user.password)).body["secret"]
        for _ in range(2):
            assert shown_secret(await agent.page("/-/login/register")) == first
        assert (await agent.do("register", code="000000")).body["secret"] == first
        assert shown_secret(await agent.page("/-/login/register")) == first


@pytest.mark.attack("S1")
@pytest.mark.parametrize("way", ["/unified-admin/", "/-/login?to=/unified-admin/"])
async def test_a_new_sign_in_shows_another_secret_and_only_that_one_is_accepted(app_site: Site, way: str) -> None:
    user = app_site.user()
    async with app_site.person() as agent:
        old = await scan(app_site, await agent.password(user.username, user.password))
        before = agent.cookie("gateway-login")
        new = shown_secret(await agent.page(way))
        assert new != old.secret
        assert agent.cookie("gateway-login") != before
        assert (await agent.do("register", code=old.code())).problem == "wrong-code"
        assert (await agent.do("register", code=Phone(new, app_site.clock).code())).step == "done"


async def test_an_app_is_enrolled_only_after_a_correct_code(app_site: Site) -> None:
    user = app_site.user()
    async with app_site.person() as agent:
        phone = await scan(app_site, await agent.password(user.username, user.password))
        refused = await agent.do("register", code=phone.wrong())
        assert (refused.status, refused.step) == (422, "register")
        assert set(agent.cookies()) <= {"gateway-login"}
    async with app_site.person() as again:
        other = await scan(app_site, await again.password(user.username, user.password))
        assert other.secret != phone.secret
    assert app_site.keycloak.admin.attribute(user.id) == []


async def test_a_code_of_a_device_with_a_wrong_clock_is_rejected_with_that_reason(app_site: Site) -> None:
    user = app_site.user()
    async with app_site.person() as agent:
        phone = await first_app(app_site, agent, user)
    async with app_site.person() as again:
        await again.password(user.username, user.password)
        late = await again.do("verify", code=phone.code(steps=-10))
        assert (late.status, late.step, late.problem) == (422, "verify", "clock-off")
        assert (await again.do("verify", code=phone.code())).step == "done"


async def test_a_code_reused_within_thirty_seconds_asks_the_user_to_wait_and_costs_no_attempt(app_site: Site) -> None:
    user = app_site.user()
    async with app_site.person() as first, app_site.person() as second:
        phone = await first_app(app_site, first, user)
        await second.password(user.username, user.password)
        code = phone.code()
        assert (await second.do("verify", code=code)).step == "done"
        async with app_site.person() as third:
            asked = await third.password(user.username, user.password)
            used = await third.do("verify", code=code)
            assert (used.step, used.problem) == ("verify", "next-code")
            assert used.body["attempts_left"] == asked.body["attempts_left"]
            next_step(app_site)
            assert (await third.do("verify", code=phone.code())).step == "done"


async def test_a_tenant_with_apps_needs_no_mail_channel_and_no_otp_manager(app_site: Site) -> None:
    del app_site.settings.tenant["tenantSettings"]["keyCloak"]["Otp_Manager_Url"]
    app_site.settings.gateway["channels"] = []
    app_site.change()
    user = app_site.user()
    async with app_site.person() as agent:
        await first_app(app_site, agent, user)


@pytest.mark.row("EF-22")
async def test_after_a_change_of_the_channel_a_user_enrols_an_app_and_keeps_their_address(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        await agent.first_login(user.username, user.password, "kept@example.com", site.mail)
    site.settings.two_factor.pop("channelServiceIdentifier")
    site.change(channelType="APP")
    next_step(site)
    async with site.person() as agent:
        phone = await first_app(site, agent, user)
    async with site.person() as agent:
        assert (await agent.password(user.username, user.password)).body["factor"] == "totp"
        assert (await agent.do("verify", code=phone.code())).step == "done"
    site.change(channelType="EMAIL", channelServiceIdentifier="otp@example.com")
    site.clock.advance(61)
    async with site.person() as agent:
        assert (await agent.login(user.username, user.password, "kept@example.com", site.mail)).step == "done"
    site.settings.two_factor.pop("channelServiceIdentifier")
    site.change(channelType="APP")
    async with site.person() as agent:
        await agent.password(user.username, user.password)
        assert (await agent.do("verify", code=phone.code())).step == "done"


@pytest.mark.row("EF-22")
async def test_after_a_change_to_another_mailbox_enrolments_and_codes_stay_valid(site: Site) -> None:
    user = site.user()
    assert user.email
    async with site.person() as agent, site.person() as between:
        await agent.first_login(user.username, user.password, user.email, site.mail)
        shown = await between.password(user.username, user.password)  # begun before, finished after the change
        assert shown.step == "verify"
        relay = site.settings.gateway["channels"][0]
        site.settings.gateway["channels"] = [{**relay, "serviceIdentifier": "mfa@example.org"}]
        site.change(channelServiceIdentifier="mfa@example.org")
        code = re.search(r"(?m)^\s*(\d{6})\s*$", site.mail.to(user.email)[-1].text)
        assert code
        assert (await between.do("verify", code=code[1])).step == "done"
    site.clock.advance(61)
    async with site.person() as agent:
        assert (await agent.login(user.username, user.password, user.email, site.mail)).step == "done"
    assert [line["channel"] for line in site.audit.of("code_sent")][-1] == "m***@e***.org"
