"""Accounts, enrolments and the store change during a login, or a user abandons it: the ends of login and session."""

import asyncio

import pytest

from gateway.crypto.key_ring import Sealer
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.ports import SystemRandom
from gateway.second_factor.enrolments import Enrolments
from gateway.store.locks import StoreLock
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.keycloak_admin import new_password
from tests.fixtures.person import Answer, Person, code_for, wrong
from tests.fixtures.site import Site

pytestmark = pytest.mark.keycloak


async def ends(site: Site, user: User) -> bool:
    """Returns whether Keycloak soon has no session of `user`."""
    return await asyncio.to_thread(site.keycloak.admin.soon_signed_out, user.id)


async def registered(site: Site, address: str) -> User:
    """Returns a user who completed a first login with `address`; their Keycloak session has ended."""
    user = site.user(email=None)
    async with site.person() as agent:
        assert (await agent.first_login(user.username, user.password, address, site.mail)).step == "done"
    site.keycloak.admin.logout(user.id)
    return user


def disable(site: Site, user: User) -> None:
    """Disables the account as the administrator."""
    site.keycloak.admin.change(user.id, enabled=False)


def reset(site: Site, user: User) -> None:
    """Sets another password as the administrator."""
    site.keycloak.admin.set_password(user.id, new_password())


def demand(site: Site, user: User) -> None:
    """Adds a required action as the administrator."""
    site.keycloak.admin.change(user.id, requiredActions=["VERIFY_EMAIL"])


@pytest.mark.attack("F16")
@pytest.mark.parametrize("change", [disable, reset, demand])
async def test_a_login_stops_if_its_account_changes_between_password_and_code(site: Site, change: object) -> None:
    assert callable(change)
    user = await registered(site, "meanwhile@example.com")
    async with site.person() as agent:
        assert (await agent.password(user.username, user.password)).step == "verify"
        change(site, user)
        stopped = await agent.do("verify", code=await code_for(site.mail, "meanwhile@example.com", 2))
        assert (stopped.status, stopped.step, stopped.problem) == (403, "stopped", "account-changed")
        assert set(agent.cookies()) <= {"gateway-login"}
        assert (await agent.get("/unified-admin/")).status == 303
    assert await ends(site, user)


@pytest.mark.attack("F16")
@pytest.mark.parametrize("change", [disable, reset, demand])
async def test_an_enrolment_saves_no_address_if_the_account_changes_during_it(site: Site, change: object) -> None:
    assert callable(change)
    user = site.user()
    async with site.person() as agent:
        await agent.to_code(user.username, user.password, "intruder@example.com")
        change(site, user)
        stopped = await agent.do("verify", code=await code_for(site.mail, "intruder@example.com"))
        assert (stopped.step, stopped.problem) == ("stopped", "account-changed")
    assert site.keycloak.admin.attribute(user.id) == []
    assert await ends(site, user)


@pytest.mark.attack("F16")
async def test_a_login_stops_if_its_account_is_deleted_between_password_and_code(site: Site) -> None:
    user = await registered(site, "deleted@example.com")
    async with site.person() as agent:
        await agent.password(user.username, user.password)
        site.keycloak.admin.delete_user(user.id)
        stopped = await agent.do("verify", code=await code_for(site.mail, "deleted@example.com", 2))
        assert (stopped.step, stopped.problem) == ("stopped", "account-changed")


async def refused_as_unreadable(site: Site, user: User) -> None:
    """Asserts that the next login of `user` stops, without a mail and without a page for a code."""
    mails = len(site.mail.messages)
    async with site.person() as agent:
        stopped = await agent.password(user.username, user.password)
        assert (stopped.status, stopped.step, stopped.problem) == (403, "stopped", "enrolment-unreadable")
        assert (await agent.do("register", address="intruder@example.com")).step == "stopped"
    assert len(site.mail.messages) == mails
    assert site.audit.of("enrolment_tampered")[-1]["user_id"] == user.id
    assert await ends(site, user)


@pytest.mark.row("GW-29")
@pytest.mark.attack("F2")
async def test_deleted_enrolments_stop_the_login(site: Site) -> None:
    user = await registered(site, "deleted@example.com")
    site.keycloak.admin.set_attribute(user.id, [])
    await refused_as_unreadable(site, user)


@pytest.mark.row("GW-29")
@pytest.mark.attack("F2")
async def test_enrolments_copied_from_another_user_stop_the_login(site: Site) -> None:
    attacker, victim = await registered(site, "attacker@example.com"), await registered(site, "victim@example.com")
    fresh = site.user()
    stolen = site.keycloak.admin.attribute(attacker.id)
    for user in (victim, fresh):
        site.keycloak.admin.set_attribute(user.id, stolen)
        await refused_as_unreadable(site, user)


@pytest.mark.row("GW-29")
@pytest.mark.attack("F2")
async def test_edited_enrolments_stop_the_login(site: Site) -> None:
    user = await registered(site, "edited@example.com")
    (value,) = site.keycloak.admin.attribute(user.id)
    middle = len(value) // 2
    other = "A" if value[middle] != "A" else "B"
    for bad in (value[:middle] + other + value[middle + 1 :], value[:-8], '{"email": "intruder@example.com"}'):
        site.keycloak.admin.set_attribute(user.id, [bad])
        await refused_as_unreadable(site, user)


@pytest.mark.row("GW-29")
@pytest.mark.attack("F2")
async def test_restored_older_enrolments_stop_the_login(site: Site) -> None:
    user = await registered(site, "older@example.com")
    old = site.keycloak.admin.attribute(user.id)
    random, ring, tenant = SystemRandom(), site.settings.ring(), site.configuration.tenants[0]
    enrolments = Enrolments(
        profile=site.services.profiles,
        store=site.store,
        sets=Sealer(ring, "enrolments", random),
        guards=Sealer(ring, "guards", random),
        lock=StoreLock(site.store, site.clock, random),
        clock=site.clock,
        audit=site.services.audit,
    )
    seen = await enrolments.read(tenant, user.id)
    assert isinstance(seen, EnrolmentSet)
    assert await enrolments.add(tenant, user.id, seen, Enrolment(FactorKind.SMS, "+4917012345678"))
    site.keycloak.admin.set_attribute(user.id, old)
    await refused_as_unreadable(site, user)


@pytest.mark.row("GW-29")
async def test_losing_the_store_loses_no_enrolment_and_is_audited(site: Site) -> None:
    user = await registered(site, "kept@example.com")
    tag = f"guard:{{{site.configuration.tenants[0].id}/user/{user.id}}}"
    await site.store.delete(tag)
    async with site.person() as agent:
        assert (await agent.login(user.username, user.password, "kept@example.com", site.mail)).step == "done"
    assert [line["user_id"] for line in site.audit.of("enrolment_unguarded")] == [user.id]


async def to_code(site: Site, agent: Person, address: str) -> tuple[User, Answer]:
    """Returns a new user at their code page, with a session at Keycloak."""
    user = site.user()
    shown = await agent.to_code(user.username, user.password, address)
    assert await asyncio.to_thread(site.keycloak.admin.sessions, user.id)
    return user, shown


async def test_the_keycloak_session_of_an_abandoned_login_is_ended(site: Site) -> None:
    async with site.person() as agent:
        user, _ = await to_code(site, agent, "slow@example.com")
        assert await site.reap() == 0
        site.clock.advance(1000)
        assert await site.reap() == 1
        assert await ends(site, user)
        late = await agent.do("verify", code=await code_for(site.mail, "slow@example.com"))
        assert (late.status, late.step, late.problem) == (403, "password", "login-expired")


async def test_a_login_that_continued_is_checked_again(site: Site) -> None:
    async with site.person() as agent:
        user, _ = await to_code(site, agent, "slow@example.com")
        site.clock.advance(840)
        assert (await agent.do("verify", "resend")).problem is None
        site.clock.advance(120)
        assert await site.reap() == 0
        assert await asyncio.to_thread(site.keycloak.admin.sessions, user.id)
        site.clock.advance(900)
        assert await site.reap() == 1
        assert await ends(site, user)


async def test_the_keycloak_session_of_a_cancelled_login_is_ended(site: Site) -> None:
    async with site.person() as agent:
        user, _ = await to_code(site, agent, "notme@example.com")
        assert (await agent.do("verify", "cancel")).step == "password"
        assert await ends(site, user)
        assert (await agent.look()).step == "password"


async def test_another_user_in_the_same_browser_ends_the_login_of_the_first(site: Site) -> None:
    async with site.person() as browser:
        first, _ = await to_code(site, browser, "first@example.com")
        assert (await browser.do("verify", "cancel")).step == "password"
        second, _ = await to_code(site, browser, "second@example.com")
        assert await ends(site, first)
        done = await browser.do("verify", code=await code_for(site.mail, "second@example.com"))
        assert done.step == "done"
        seen = (await site.seen(browser))["authorization"]
    assert await asyncio.to_thread(site.keycloak.admin.sessions, second.id)
    assert seen


async def test_the_keycloak_session_of_a_login_stopped_by_its_last_send_is_ended(site: Site) -> None:
    site.change(maxSends=1)
    async with site.person() as agent:
        user, _ = await to_code(site, agent, "last@example.com")
        code = await code_for(site.mail, "last@example.com")
        site.clock.advance(121)
        stopped = await agent.do("verify", "resend")
        assert (stopped.status, stopped.step, stopped.problem) == (429, "stopped", "max-sends")
        assert (await agent.do("verify", code=code)).step == "stopped"
        assert await ends(site, user)


async def test_a_login_of_a_user_locked_over_all_logins_is_stopped_and_no_mail_is_sent(site: Site) -> None:
    user = site.user()
    async with site.person() as first, site.person() as second:
        await first.to_code(user.username, user.password, "locked@example.com")
        code = await code_for(site.mail, "locked@example.com")
        for _ in range(5):
            await first.do("verify", code=wrong(code))
        site.clock.advance(61)
        await first.do("verify", "resend")
        code = await code_for(site.mail, "locked@example.com", 2)
        for _ in range(5):
            last = await first.do("verify", code=wrong(code))
        assert (last.status, last.step, last.problem) == (429, "stopped", "locked")
        assert await ends(site, user)
        site.clock.advance(61)
        held = await second.to_code(user.username, user.password, "locked@example.com")
        assert held.problem == "locked"
    assert len(site.mail.to("locked@example.com")) == 2
    assert len(site.audit.of("lock_set")) == 1
