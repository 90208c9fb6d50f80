"""CloudCX: a trusted browser that needs no code for some days, and everything that ends trust.

On the stand-in identity provider, whose clock follows the test's.
"""

from dataclasses import dataclass

import pytest

from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.keycloak_admin import new_password
from tests.fixtures.person import Answer, Person
from tests.fixtures.phone import Phone, both, next_step, proved
from tests.fixtures.site import Site

DAY = 86_400
TRUST = "gateway-trust"


@dataclass
class TrustingUser:
    """A user with mail and app on, at a tenant that allows trusted browsers."""

    site: Site
    user: User
    phone: Phone

    async def sign_in(self, browser: Person, *, remember: bool = False) -> None:
        """Signs in with the app's code, with or without the box for trust."""
        browser.csrf = ""
        assert (await browser.password(self.user.username, self.user.password)).step == "verify"
        ticked = {"remember": "yes"} if remember else {}
        next_step(self.site)
        assert (await browser.do("verify", code=self.phone.code(), **ticked)).step == "done"

    async def password(self, browser: Person) -> Answer:
        """Enters only the password, after a logout."""
        await leave(browser)
        return await browser.password(self.user.username, self.user.password)


async def leave(browser: Person) -> None:
    """Signs out and keeps the browser's other cookies."""
    if browser.cookie("gateway-session"):
        await browser.logout()
    browser.csrf = ""


async def new_user(site: Site, days: int = 14) -> TrustingUser:
    """Makes a new user."""
    site.change(trustBrowserDays=days)
    user = site.user()
    async with site.person() as agent:
        phone, _ = await both(site, agent, user)
    return TrustingUser(site, user, phone)


@pytest.mark.row("CC-10")
@pytest.mark.attack("F26")
async def test_the_code_page_offers_trust_unticked_and_names_the_number_of_days(cloud_for_days: Site) -> None:
    flow_harness = await new_user(cloud_for_days, days=30)
    async with cloud_for_days.person() as browser:
        await browser.password(flow_harness.user.username, flow_harness.user.password)
        page = await browser.page()
        box = page[page.index('type="checkbox"') :].partition(">")[0]
        assert 'name="remember"' in box
        assert "checked" not in box
        assert "30 days" in page


@pytest.mark.row("CC-10", "CC-12")
@pytest.mark.parametrize("days", [14, 30, 60, 90])
async def test_a_trusted_browser_needs_no_code_until_the_days_are_over(cloud_for_days: Site, days: int) -> None:
    flow_harness = await new_user(cloud_for_days, days)
    async with cloud_for_days.person() as browser:
        await flow_harness.sign_in(browser, remember=True)
        cloud_for_days.clock.advance((days - 1) * DAY)
        assert (await flow_harness.password(browser)).step == "done"
        opened = cloud_for_days.audit.of("session_opened")[-1]
        assert (opened["satisfied"], opened["rule"]) == ("trusted", "trusted-browser")
        assert {"client", "browser", "request_id", "reference", "until"} <= opened.keys()
        cloud_for_days.clock.advance(DAY)  # since the factor was judged, not since it was last skipped
        assert (await flow_harness.password(browser)).step == "verify"


@pytest.mark.row("CC-10")
async def test_an_unticked_box_does_not_trust_the_browser(cloud_for_days: Site) -> None:
    flow_harness = await new_user(cloud_for_days)
    async with cloud_for_days.person() as browser:
        await flow_harness.sign_in(browser)
        assert browser.cookie(TRUST) is None
        assert (await flow_harness.password(browser)).step == "verify"


@pytest.mark.row("CC-09")
async def test_with_every_login_there_is_no_trust_option_and_a_forged_tick_is_ignored(cloud_for_days: Site) -> None:
    flow_harness = await new_user(cloud_for_days, days=0)
    async with cloud_for_days.person() as browser:
        await browser.password(flow_harness.user.username, flow_harness.user.password)
        assert 'name="remember"' not in await browser.page()
        next_step(cloud_for_days)
        assert (await browser.do("verify", code=flow_harness.phone.code(), remember="yes")).step == "done"
        assert browser.cookie(TRUST) is None
        assert (await flow_harness.password(browser)).step == "verify"


@pytest.mark.row("CC-09", "CC-12")
async def test_a_policy_of_every_login_ends_existing_trust_at_once(cloud_for_days: Site) -> None:
    flow_harness = await new_user(cloud_for_days)
    async with cloud_for_days.person() as browser:
        await flow_harness.sign_in(browser, remember=True)
        assert browser.cookie(TRUST)
        cloud_for_days.change(trustBrowserDays=0)
        assert (await flow_harness.password(browser)).step == "verify"


@pytest.mark.row("CC-12")
@pytest.mark.attack("F26")
async def test_the_age_of_trust_is_judged_by_the_current_policy(cloud_for_days: Site) -> None:
    flow_harness = await new_user(cloud_for_days, days=90)
    async with cloud_for_days.person() as browser:
        await flow_harness.sign_in(browser, remember=True)
        cloud_for_days.clock.advance(20 * DAY)
        cloud_for_days.change(trustBrowserDays=14)
        assert (await flow_harness.password(browser)).step == "verify"


@pytest.mark.row("CC-12")
async def test_neither_another_browser_nor_one_with_cleared_cookies_is_trusted(cloud_for_days: Site) -> None:
    flow_harness = await new_user(cloud_for_days)
    async with cloud_for_days.person() as browser, cloud_for_days.person() as other:
        await flow_harness.sign_in(browser, remember=True)
        assert (await flow_harness.password(other)).step == "verify"
        await leave(browser)
        browser.http.cookie_jar.clear()
        assert (await flow_harness.password(browser)).step == "verify"


@pytest.mark.row("CC-12")
@pytest.mark.attack("F26")
async def test_a_browser_is_trusted_for_one_user_only(cloud_for_days: Site) -> None:
    first, second = await new_user(cloud_for_days), await new_user(cloud_for_days)
    async with cloud_for_days.person() as shared:
        await first.sign_in(shared, remember=True)
        assert (await second.password(shared)).step == "verify"
        next_step(cloud_for_days)
        assert (await shared.do("verify", code=second.phone.code(), remember="yes")).step == "done"
        assert (await second.password(shared)).step == "done"
        assert (await first.password(shared)).step == "verify"


@pytest.mark.row("CC-12")
@pytest.mark.attack("F26")
async def test_a_trusted_browser_still_needs_the_password(cloud_for_days: Site) -> None:
    flow_harness = await new_user(cloud_for_days)
    async with cloud_for_days.person() as browser:
        await flow_harness.sign_in(browser, remember=True)
        await leave(browser)
        assert (await browser.get("/unified-admin/")).status == 303
        assert (await browser.password(flow_harness.user.username, "wrong")).problem == "wrong-password"


@pytest.mark.row("CC-12")
@pytest.mark.attack("F16")
async def test_a_password_reset_ends_trust(cloud_for_days: Site) -> None:
    flow_harness = await new_user(cloud_for_days)
    async with cloud_for_days.person() as browser:
        await flow_harness.sign_in(browser, remember=True)
        new = new_password()
        cloud_for_days.keycloak.admin.set_password(flow_harness.user.id, new)
        await leave(browser)
        assert (await browser.password(flow_harness.user.username, new)).step == "verify"
    assert cloud_for_days.audit.of("trust_rejected")[-1]["verdict"] == "changed"


@pytest.mark.row("CC-12")
@pytest.mark.attack("F16")
async def test_a_disabled_account_cannot_sign_in_from_a_trusted_browser(cloud_for_days: Site) -> None:
    flow_harness = await new_user(cloud_for_days)
    async with cloud_for_days.person() as browser:
        await flow_harness.sign_in(browser, remember=True)
        cloud_for_days.keycloak.admin.change(flow_harness.user.id, enabled=False)
        assert (await flow_harness.password(browser)).problem == "wrong-password"


@pytest.mark.row("CC-12")
async def test_a_changed_factor_ends_trust_in_every_browser(cloud_for_days: Site) -> None:
    flow_harness = await new_user(cloud_for_days)
    async with cloud_for_days.person() as browser, cloud_for_days.person() as other:
        await flow_harness.sign_in(browser, remember=True)
        await flow_harness.sign_in(other)
        next_step(cloud_for_days)
        done = await proved(cloud_for_days, other, flow_harness.user, "turn-off", "email", phone=flow_harness.phone)
        assert done.step == "done"
        assert (await flow_harness.password(browser)).step == "verify"


@pytest.mark.row("CC-12")
@pytest.mark.attack("F26")
async def test_using_a_copied_trust_cookie_ends_trust_for_both_browsers_and_is_audited(cloud_for_days: Site) -> None:
    flow_harness = await new_user(cloud_for_days)
    async with cloud_for_days.person() as victim, cloud_for_days.person() as thief:
        await flow_harness.sign_in(victim, remember=True)
        copied = victim.cookie(TRUST)
        assert copied
        thief.set_cookie(TRUST, copied)
        assert (
            await flow_harness.password(thief)
        ).step == "done"  # with password and cookie the attacker gets in, once
        assert thief.cookie(TRUST) != copied
        cloud_for_days.clock.advance(31)
        assert (await flow_harness.password(victim)).step == "verify"
        assert cloud_for_days.audit.of("trust_rejected")[-1]["verdict"] == "stolen"
        assert (await flow_harness.password(thief)).step == "verify"


@pytest.mark.row("CC-12")
async def test_the_trust_cookie_of_another_tenant_or_a_forged_one_is_rejected(cloud_for_days: Site) -> None:
    flow_harness = await new_user(cloud_for_days)
    async with cloud_for_days.person() as browser:
        await flow_harness.sign_in(browser, remember=True)
        value = browser.cookie(TRUST)
        assert value
        for forged in (value[:-4] + "AAAA", "x", "a.b", value.swapcase()):
            async with cloud_for_days.person() as thief:
                thief.set_cookie(TRUST, forged)
                assert (await flow_harness.password(thief)).step == "verify"


@pytest.mark.attack("F18")
async def test_a_trusted_browser_with_a_due_password_still_needs_a_code(cloud_for_days: Site) -> None:
    flow_harness = await new_user(cloud_for_days)
    async with cloud_for_days.person() as browser:
        await flow_harness.sign_in(browser, remember=True)
        cloud_for_days.keycloak.admin.change(flow_harness.user.id, requiredActions=["UPDATE_PASSWORD"])
        asked = await flow_harness.password(browser)
        assert asked.step == "verify"
        assert 'name="remember"' not in await browser.page()
        next_step(cloud_for_days)
        assert (await browser.do("verify", code=flow_harness.phone.code())).step == "new-password"
        new = new_password()
        assert (await browser.do("new-password", new_password=new)).step == "verify"
        next_step(cloud_for_days)
        assert (await browser.do("verify", code=flow_harness.phone.code())).step == "done"
        await leave(browser)
        assert (await browser.password(flow_harness.user.username, new)).step == "verify"


@pytest.mark.attack("F26")
async def test_a_browser_in_a_listed_network_is_never_trusted(cloud_for_days: Site) -> None:
    cloud_for_days.settings.tenant["gateway"]["never_trust_from"] = ["127.0.0.0/8"]
    flow_harness = await new_user(cloud_for_days)
    async with cloud_for_days.person() as browser:
        asked = await browser.password(flow_harness.user.username, flow_harness.user.password)
        assert asked.step == "verify"
        assert "Don't ask again" not in await browser.page()
        next_step(cloud_for_days)
        await browser.do("verify", code=flow_harness.phone.code(), remember="yes")
        assert browser.cookie(TRUST) is None


@pytest.mark.attack("F26")
async def test_listing_a_network_later_ends_trust_in_it(cloud_for_days: Site) -> None:
    flow_harness = await new_user(cloud_for_days)
    async with cloud_for_days.person() as browser:
        await flow_harness.sign_in(browser, remember=True)
        assert browser.cookie(TRUST)
        cloud_for_days.settings.tenant["gateway"]["never_trust_from"] = ["127.0.0.1"]
        cloud_for_days.change()
        assert (await flow_harness.password(browser)).step == "verify"
