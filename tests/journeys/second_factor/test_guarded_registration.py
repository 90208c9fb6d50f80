"""Which users may enrol a first factor with the password alone, and which approval the others need."""

import pytest

from tests.fixtures.administrator import admin_code
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.keycloak_admin import new_password
from tests.fixtures.person import Answer, Person, code_for, wrong
from tests.fixtures.phone import next_step, scan
from tests.fixtures.site import Site

DAY = 86_400
keycloak = pytest.mark.keycloak


async def typed_and_proved(site: Site, agent: Person, user: User, address: str) -> Answer:
    """Goes from the password to the correct code of the typed address."""
    before = len(site.mail.to(address))
    assert (await agent.to_code(user.username, user.password, address)).step == "verify"
    return await agent.do("verify", code=await code_for(site.mail, address, before + 1))


def no_enrolment_stored(site: Site, user: User) -> bool:
    """Returns whether Keycloak has no enrolment of this user."""
    return site.keycloak.admin.attribute(user.id) == []


@keycloak
@pytest.mark.row("GW-27")
@pytest.mark.attack("F5")
async def test_enrolling_the_verified_profile_address_needs_no_approval(site: Site) -> None:
    site.change(registration="guarded")
    user = site.user()
    assert user.email
    async with site.person() as agent:
        assert (await typed_and_proved(site, agent, user, user.email)).step == "done"


@keycloak
@pytest.mark.row("GW-27")
@pytest.mark.attack("F5")
async def test_enrolling_another_address_needs_a_code_sent_to_the_profile_address(site: Site) -> None:
    site.change(registration="guarded")
    user = site.user()
    assert user.email
    async with site.person() as agent:
        asked = await typed_and_proved(site, agent, user, "other@example.com")
        assert (asked.status, asked.step) == (200, "verify")
        assert asked.body["sent_to"].endswith(".com")
        assert no_enrolment_stored(site, user)
        assert (await agent.get("/unified-admin/")).status == 303
        typed_code = await code_for(site.mail, "other@example.com")
        code = await code_for(site.mail, user.email)
        assert (await agent.do("verify", code=typed_code)).problem == "wrong-code"
        assert (await agent.do("verify", code=wrong(code))).problem == "wrong-code"
        assert (await agent.do("verify", code=code)).step == "done"
    site.clock.advance(61)
    async with site.person() as again:
        assert (await again.login(user.username, user.password, "other@example.com", site.mail)).step == "done"


@keycloak
@pytest.mark.row("GW-27")
@pytest.mark.attack("F5")
async def test_an_intruder_with_the_password_alone_enrols_nothing(site: Site) -> None:
    site.change(registration="guarded")
    user = site.user()
    assert user.email
    async with site.person() as intruder:
        await typed_and_proved(site, intruder, user, "intruder@example.com")
        for _ in range(5):
            last = await intruder.do("verify", code=wrong(await code_for(site.mail, user.email)))
        assert last.problem == "limit-exceeded"
        assert no_enrolment_stored(site, user)
    async with site.person() as owner:
        site.clock.advance(61)
        assert (await owner.password(user.username, user.password)).step == "register"


@keycloak
@pytest.mark.row("GW-27")
async def test_an_administrators_code_approves_an_enrolment(site: Site) -> None:
    site.change(registration="guarded")
    user = site.user()
    async with site.person() as agent:
        assert (await typed_and_proved(site, agent, user, "other@example.com")).step == "verify"
        assert (await agent.do("verify", code=await admin_code(site, user))).step == "done"


@keycloak
@pytest.mark.row("GW-27")
@pytest.mark.attack("F5")
async def test_an_unverified_profile_address_approves_no_enrolment(site: Site) -> None:
    site.change(registration="guarded")
    user = site.user(email_verified=False)
    assert user.email
    async with site.person() as agent:
        assert (
            await typed_and_proved(site, agent, user, "other@example.com")
        ).step == "done"  # the account was made today
    assert not site.mail.to(user.email)


@keycloak
@pytest.mark.row("GW-27")
async def test_a_user_without_a_profile_address_enrols_without_approval_in_the_grace_period(site: Site) -> None:
    site.change(registration="guarded")
    user = site.user(email=None)
    async with site.person() as agent:
        assert (await typed_and_proved(site, agent, user, "new@example.com")).step == "done"


@pytest.mark.row("GW-27")
@pytest.mark.attack("F5")
async def test_after_fourteen_days_a_user_without_a_profile_address_needs_an_administrators_code(
    cloud_for_days: Site,
) -> None:
    site = cloud_for_days
    site.change(registration="guarded", enrolment="required", registrationContact="any")
    old, pioneer = site.user(email=None), site.user(email=None)
    async with site.person() as first:
        await first.password(pioneer.username, pioneer.password)  # the fourteen days begin now
    site.clock.advance(15 * DAY)
    async with site.person() as agent, site.person() as newcomer:
        phone = await register_app(site, agent, old)
        asked = await agent.do("register", code=phone)
        assert asked.step == "verify"
        assert no_enrolment_stored(site, old)
        assert (await agent.do("verify", code="000000000000")).problem == "wrong-code"
        kept = await agent.do("verify", code=await admin_code(site, old))
        assert kept.step == "backup-codes"
        made_today = site.user(email=None)
        phone = await register_app(site, newcomer, made_today)
        assert (await newcomer.do("register", code=phone)).step == "backup-codes"


async def register_app(site: Site, agent: Person, user: User) -> str:
    """Picks the app and returns its current code."""
    assert (await agent.password(user.username, user.password)).step == "register"
    next_step(site)
    return (await scan(site, await agent.do("register", factor="totp"))).code()


@keycloak
@pytest.mark.row("GW-27")
@pytest.mark.attack("F5")
async def test_an_enrolment_with_a_due_password_always_needs_an_administrators_code(site: Site) -> None:
    site.change(registration="guarded")
    users = [site.user(required_actions=("UPDATE_PASSWORD",)), site.user(email=None)]
    site.keycloak.admin.change(users[1].id, requiredActions=["UPDATE_PASSWORD"])
    for user in users:
        address = user.email or "temporary@example.com"
        async with site.person() as agent:
            assert (await typed_and_proved(site, agent, user, address)).step == "verify"
            assert no_enrolment_stored(site, user)
            assert (await agent.do("verify", code=await admin_code(site, user))).step == "new-password"
            assert len(site.keycloak.admin.attribute(user.id)) == 1
            assert (await agent.do("new-password", new_password=new_password())).step == "verify"
            assert (await agent.do("verify", code=await code_for(site.mail, address, 2))).step == "done"


@keycloak
@pytest.mark.row("GW-27")
@pytest.mark.attack("F5")
async def test_with_admin_code_every_first_enrolment_needs_an_administrators_code_and_no_mail_is_sent(
    site: Site,
) -> None:
    site.change(registration="admin_code")
    user = site.user()
    assert user.email
    async with site.person() as agent:
        asked = await typed_and_proved(site, agent, user, user.email)
        assert asked.step == "verify"
        assert asked.body["sent_to"] is None
        assert (await agent.do("verify", "send")).step == "verify"
        assert len(site.mail.to(user.email)) == 1
        assert (await agent.do("verify", code="123456")).problem == "wrong-code"
        assert no_enrolment_stored(site, user)
        assert (await agent.do("verify", code=await admin_code(site, user))).step == "done"
    site.clock.advance(61)
    async with site.person() as again:
        assert (await again.login(user.username, user.password, user.email, site.mail)).step == "done"


@keycloak
@pytest.mark.row("GW-27")
async def test_an_administrators_code_does_not_replace_the_proof_of_the_typed_address(site: Site) -> None:
    site.change(registration="admin_code")
    user = site.user()
    async with site.person() as agent:
        await agent.to_code(user.username, user.password, "typed@example.com")
        code = await admin_code(site, user)
        assert (await agent.do("verify", code=code)).problem == "wrong-code"
        assert no_enrolment_stored(site, user)


@keycloak
@pytest.mark.row("GW-27", "EF-11")
async def test_open_enrolment_is_the_presets_default_and_informs_the_profile_address(site: Site) -> None:
    user = site.user()
    assert user.email
    async with site.person() as agent:
        assert (await typed_and_proved(site, agent, user, "other@example.com")).step == "done"
    await site.mail.wait(2)
    assert len(site.mail.to(user.email)) == 1
