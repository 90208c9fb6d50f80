"""Tests of who may see and use the administration pages."""

import pytest

from gateway.domain import session
from tests.admin.administrator import Administrator
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.site import Site

pytestmark = [pytest.mark.row("GW-16"), pytest.mark.attack("F1")]
ACTS = ("code", "unlock", "reset", "sign-out")


async def signed_in(site: Site, browser: object, *roles: str) -> Administrator:
    """Returns a signed-in user with these roles."""
    user = Administrator(site, browser, site.user(roles=roles))  # type: ignore[arg-type]
    await user.sign_in()
    return user


def denials(site: Site) -> list[tuple[str, str]]:
    """Returns method and path of each audited denial."""
    return [(line["method"], line["path"]) for line in site.audit.of("administration_denied")]


async def test_a_user_without_the_role_sees_no_page_which_is_audited(admin_site: Site) -> None:
    async with admin_site.person() as browser:
        agent = await signed_in(admin_site, browser, "agent")
        page = await agent.open("/-/admin")
        assert (page.status, "Bilal" in page.text) == (403, False)
    assert denials(admin_site) == [("GET", "admin")]


@pytest.mark.parametrize("act", ACTS)
async def test_a_user_without_the_role_carries_out_no_act_which_is_audited(admin_site: Site, act: str) -> None:
    async with admin_site.person() as browser:
        agent = await signed_in(admin_site, browser, "agent", "supervisor")
        path = f"/-/admin/users/{agent.user.id}/{act}"
        assert (await agent.open(path)).status == 403
        assert (await agent.post(path, {"csrf": "guessed"})).status == 403
    below = path.removeprefix("/-/")
    assert denials(admin_site) == [("GET", below), ("POST", below)]


async def test_a_role_that_keycloak_took_away_since_the_sign_in_changes_nothing_any_more(
    admin_site: Site, sara: Administrator
) -> None:
    agent = admin_site.user()
    path = f"/-/admin/users/{agent.id}/reset"
    form = (await sara.confirm(path)).form(path)
    _forget_roles(admin_site, sara.user)
    assert (await sara.post(path, form)).status == 403
    assert admin_site.audit.of("enrolments_reset") == []
    assert admin_site.audit.of("administration_denied")[0]["reason"] == "role at Keycloak"


async def test_a_disabled_administrator_changes_nothing_any_more(admin_site: Site, sara: Administrator) -> None:
    agent = admin_site.user()
    path = f"/-/admin/users/{agent.id}/reset"
    form = (await sara.confirm(path)).form(path)
    admin_site.keycloak.admin.change(sara.user.id, enabled=False)
    assert (await sara.post(path, form)).status == 403
    assert admin_site.audit.of("enrolments_reset") == []


async def test_a_form_whose_confirmation_is_over_leads_to_another_one_and_changes_nothing(
    admin_site: Site, sara: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "CONFIRMED_FOR", 60.0)  # the stand-in's tokens live no longer than five minutes
    agent = admin_site.user()
    path = f"/-/admin/users/{agent.id}/reset"
    form = (await sara.confirm(path)).form(path)
    admin_site.clock.advance(60)
    page = await sara.post(path, form)
    assert page.path.startswith("/-/login/verify?to=/-/admin/users/")
    assert admin_site.audit.of("enrolments_reset") == []


async def test_a_form_without_the_token_of_its_page_changes_nothing(admin_site: Site, sara: Administrator) -> None:
    agent, other = admin_site.user(), admin_site.user()
    path = f"/-/admin/users/{agent.id}/unlock"
    form = (await sara.confirm(path)).form(path)
    for address, fields in (
        (f"/-/admin/users/{agent.id}/reset", form),
        (f"/-/admin/users/{other.id}/unlock", form),
        (path, {}),
    ):
        assert (await sara.post(address, fields)).status == 403
    assert (await sara.post(path, form, **{"Sec-Fetch-Site": "cross-site"})).status == 403
    assert [admin_site.audit.of(event) for event in ("user_unlocked", "enrolments_reset")] == [[], []]


async def test_an_administrator_without_a_factor_is_led_to_the_account_page(admin_site: Site) -> None:
    admin_site.change(is2FAEnabled=False)
    async with admin_site.person() as browser:
        user = admin_site.user(roles=("admin",))
        await browser.password(user.username, user.password)
        page = await Administrator(admin_site, browser, user).open("/-/admin")
    assert page.path.startswith("/-/login/stopped")
    assert 'class="main" href="/-/account"' in page.text


@pytest.mark.row("NX-08")
@pytest.mark.attack("F19")
async def test_a_session_opened_by_an_administrators_code_sees_no_page(admin_site: Site, sara: Administrator) -> None:
    code = await admin_site.services.admin_codes.issue("expertflow", sara.user.id, "another administrator")
    async with admin_site.person() as browser:
        await browser.password(sara.user.username, sara.user.password)
        assert (await browser.do("verify", code=code)).step == "done"
        page = await Administrator(admin_site, browser, sara.user).open("/-/admin")
    assert page.status == 403
    assert admin_site.audit.of("administration_denied")[0]["reason"] == "assisted session"


@pytest.mark.row("GW-49")
async def test_the_pages_do_not_exist_on_the_host_of_the_apps_unless_the_tenant_says_so(
    admin_site: Site, sara: Administrator
) -> None:
    admin_site.settings.tenant["gateway"]["admin_on_app_host"] = False
    admin_site.change()
    assert (await sara.open("/-/admin")).status == 404


async def test_a_visitor_signs_in_first_and_then_sees_the_page_they_opened(admin_site: Site) -> None:
    async with admin_site.person("/-/admin?q=anna") as browser:
        user = admin_site.user(roles=("admin",))
        await browser.first_login(user.username, user.password, str(user.email), admin_site.mail)
        page = await Administrator(admin_site, browser, user).open("/-/login?to=/-/admin%3Fq%3Danna")
    assert (page.status, page.path) == (200, "/-/admin?q=anna")


def _forget_roles(site: Site, user: User) -> None:
    """Takes the user's roles away at the identity provider."""
    realm = "expertflow"
    admin = site.keycloak.admin
    roles = admin.request("GET", f"users/{user.id}/role-mappings/realm", realm).json()
    admin.request("DELETE", f"users/{user.id}/role-mappings/realm", realm, json=roles)
