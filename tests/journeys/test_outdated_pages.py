"""A browser that is behind: buttons of an outdated account page, and a login whose newest cookie is on its way."""

import pytest
from aiohttp import ClientResponse

from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.person import FORM, Person, Tab, button, code_for
from tests.fixtures.site import Site
from tests.journeys.test_sessions import signed_in


async def pressed(agent: Person, page: Tab, kind: str) -> ClientResponse:
    """Presses a button of the account page in a browser."""
    form = button(page.text, kind)
    assert form
    answer = await agent.http.post(f"{agent.base}/-/login", data=form, headers=FORM, allow_redirects=False)
    await answer.read()
    return answer


async def enrol_app(site: Site, user: User) -> None:
    """Sets up an app elsewhere."""
    tenant, user_id, enrolments = site.configuration.tenants[0], user.id, site.services.enrolments
    before = await enrolments.read(tenant, user_id)
    assert isinstance(before, EnrolmentSet)
    await enrolments.add(tenant, user_id, before, Enrolment(FactorKind.TOTP, secret="made up"))


@pytest.mark.row("GW-46")
async def test_a_button_of_an_outdated_account_page_leads_to_the_current_one(light_site: Site) -> None:
    async with light_site.person() as agent:
        user = await signed_in(light_site, agent)
        page = await agent.tab("/-/account")
        await enrol_app(light_site, user)
        answer = await pressed(agent, page, "sign-out-everywhere")
    assert (answer.status, answer.headers["Location"]) == (303, "/-/account?done=out-of-date")


@pytest.mark.row("GW-46")
async def test_a_button_of_a_disabled_user_leads_to_no_account_page(light_site: Site) -> None:
    async with light_site.person() as agent:
        user = await signed_in(light_site, agent)
        page = await agent.tab("/-/account")
        light_site.keycloak.admin.change(user.id, enabled=False)
        answer = await pressed(agent, page, "sign-out-everywhere")
    assert answer.status == 403


@pytest.mark.row("GW-13")
@pytest.mark.parametrize(("later", "retries"), [(0, True), (10, False)])
async def test_a_tab_with_the_cookies_of_before_the_last_proof_retries_for_ten_seconds(
    light_site: Site, later: float, retries: bool
) -> None:
    user = light_site.user()
    async with light_site.person() as agent, light_site.person() as tab:
        await agent.to_code(user.username, user.password, str(user.email))
        tab.set_cookie("gateway-login", agent.cookie("gateway-login") or "")
        assert (await agent.do("verify", code=await code_for(light_site.mail, str(user.email)))).step == "done"
        light_site.clock.advance(later)
        answer = await tab.get("/-/login?to=/unified-admin/")
    assert answer.headers.get("Location", "").endswith("&again=1") is retries
