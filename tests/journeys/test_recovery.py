"""The ways back of docs/recovery.md, on a real Keycloak and a real Redis."""

import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.administration.user_recovery import UserRecovery
from gateway.domain.errors import Misconfigured
from gateway.domain.ports import SystemClock, SystemRandom
from gateway.settings import key_ring
from tests.fixtures.installation import Folder
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.mail import MailServer
from tests.fixtures.person import code_for, codes_to
from tests.fixtures.phone import first_app
from tests.fixtures.redis import empty
from tests.fixtures.site import Site, whole
from tests.fixtures.upstream import EchoUpstream

pytestmark = [pytest.mark.keycloak, pytest.mark.redis]
BY = "Sara of the service desk"


@pytest.fixture
async def site(
    settings: Folder, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream, redis_url: str
) -> AsyncIterator[Site]:
    """Yields a gateway on Redis."""
    settings.gateway["store"] = {"url": redis_url, "timeout": 10}
    async with whole(settings, keycloak, mail_server, echo_upstream) as site:
        yield site


def recovery(site: Site) -> UserRecovery:
    return UserRecovery(site.services)


async def enrol(site: Site) -> User:
    """Returns a user who has enrolled their address."""
    user = site.user()
    async with site.person() as agent:
        assert (await agent.first_login(user.username, user.password, str(user.email), site.mail)).step == "done"
    return user


async def sign_in(site: Site, user: User) -> str:
    """Signs in with a code by e-mail in a new browser; returns the last step."""
    before = len(codes_to(site.mail, str(user.email)))
    async with site.person() as agent:
        assert (await agent.password(user.username, user.password)).step == "verify"
        code = await code_for(site.mail, str(user.email), before + 1)
        return str((await agent.do("verify", code=code)).step)


async def refusal(site: Site, user: User) -> str | None:
    """Returns the problem that stops the user's login after the password."""
    async with site.person() as agent:
        shown = await agent.password(user.username, user.password)
        assert shown.step == "stopped", shown.body
        return shown.problem


async def test_after_a_lost_key_ring_users_whose_attribute_is_deleted_enrol_again(
    settings: Folder, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream, redis_url: str
) -> None:
    settings.gateway["store"] = {"url": redis_url, "timeout": 10}
    async with whole(settings, keycloak, mail_server, echo_upstream) as site:
        user, lost = await enrol(site), site.services.key_ring
    (settings.path / "ring.key").unlink()
    key_ring.create(settings.path / "ring.key", SystemClock(), SystemRandom())
    settings.gateway["store"]["prefix"] = "second:"
    async with whole(settings, keycloak, mail_server, echo_upstream) as site:
        assert await refusal(site, user) == "enrolment-unreadable"
        (found,) = site.audit.of("enrolment_tampered")
        assert found["sealed_by"] == lost.keys[0].id
        assert found["ring"] == [site.services.key_ring.keys[0].id]
        keycloak.admin.set_attribute(user.id, [])
        async with site.person() as agent:
            shown = await agent.to_code(user.username, user.password, str(user.email))
            assert shown.step == "verify"
            code = await code_for(site.mail, str(user.email), 2)
            assert (await agent.do("verify", code=code)).step == "done"


async def test_after_a_lost_store_a_user_signs_in_with_their_factor_and_the_audit_says_so(
    site: Site, redis_url: str
) -> None:
    user = await enrol(site)
    await empty(redis_url)
    assert await sign_in(site, user) == "done"
    assert [line["user_id"] for line in site.audit.of("enrolment_unguarded")] == [user.id]


@pytest.mark.parametrize("change", ["removed", "older", "damaged"])
@pytest.mark.attack("F2")
async def test_enrolments_that_keycloak_lost_are_restored_from_the_store(site: Site, change: str) -> None:
    user = await enrol(site)
    admin = site.keycloak.admin
    kept = admin.attribute(user.id)
    match change:
        case "removed":
            admin.set_attribute(user.id, [])
        case "damaged":
            admin.set_attribute(user.id, [kept[0][:-4] + "AAAA"])
        case "older":  # Keycloak's database was restored from a backup
            tenant = site.configuration.tenants[0]
            assert await site.services.enrolments.end_trust(tenant, user.id)
            admin.set_attribute(user.id, kept)
    assert await refusal(site, user) == "enrolment-unreadable"
    shown = await recovery(site).show("expertflow", user.username, BY)
    done = await recovery(site).restore("expertflow", user.username, BY, digest=shown["digest"])
    assert (done["source"], done["factors"]) == ("store", ["email"])
    assert await sign_in(site, user) == "done"
    (line,) = site.audit.of("enrolments_restored")
    assert (line["by"], line["source"], line["finding"]) == (f"command line: {BY}", "store", shown["finding"])
    assert any("administrator changed" in mail.subject for mail in site.mail.to(str(user.email)))


async def test_older_enrolments_of_keycloak_count_after_their_restore_and_the_newer_ones_never_again(
    site: Site,
) -> None:
    user, admin = await enrol(site), site.keycloak.admin
    older = admin.attribute(user.id)
    assert await site.services.enrolments.end_trust(site.configuration.tenants[0], user.id)
    newer = admin.attribute(user.id)
    admin.set_attribute(user.id, older)
    done = await recovery(site).restore("expertflow", user.username, BY, source="keycloak")
    assert done["source"] == "keycloak"
    assert await sign_in(site, user) == "done"
    for sealed in (older, newer):
        admin.set_attribute(user.id, sealed)
        assert await refusal(site, user) == "enrolment-unreadable"


async def test_nothing_is_restored_if_the_enrolments_changed_since_they_were_shown_or_are_accepted(
    site: Site,
) -> None:
    user, admin = await enrol(site), site.keycloak.admin
    with pytest.raises(Misconfigured, match="nothing to restore"):
        await recovery(site).restore("expertflow", user.username, BY)
    kept = admin.attribute(user.id)
    admin.set_attribute(user.id, [])
    shown = await recovery(site).show("expertflow", user.username, BY)
    admin.set_attribute(user.id, [kept[0][:-4] + "AAAA"])
    with pytest.raises(Misconfigured, match="changed in the meantime"):
        await recovery(site).restore("expertflow", user.username, BY, digest=shown["digest"])


@pytest.mark.attack("F2")
async def test_a_reset_ends_factors_sessions_and_the_login_under_way_and_the_user_enrols_again(
    settings: Folder, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream, redis_url: str
) -> None:
    settings.gateway["store"] = {"url": redis_url, "timeout": 10}
    settings.two_factor.update(channelType="APP")
    async with whole(settings, keycloak, mail_server, echo_upstream) as site:
        site.clock.advance(30)
        user = site.user()
        async with site.person() as owner, site.person() as thief:
            phone = await first_app(site, owner, user)
            before = keycloak.admin.attribute(user.id)
            assert (await thief.password(user.username, user.password)).step == "verify"
            done = await recovery(site).reset("expertflow", user.username, BY)
            assert done["sessions"] == 1
            assert (await owner.get("/unified-admin/")).status == 303
            assert keycloak.admin.sessions(user.id) == []
            assert (await thief.do("verify", code=phone.code())).step == "stopped"
        keycloak.admin.set_attribute(user.id, before)
        assert await refusal(site, user) == "enrolment-unreadable"
        await recovery(site).reset("expertflow", user.username, BY)
        async with site.person() as agent:
            assert (await agent.password(user.username, user.password)).step == "register"
        lines = site.audit.of("enrolments_reset")
        assert [line["by"] for line in lines] == [f"command line: {BY}"] * 2


async def test_a_new_administration_secret_in_the_settings_replaces_a_lost_one(site: Site) -> None:
    name, admin = f"gateway-admin-{secrets.token_hex(4)}", site.keycloak.admin

    def client(method: str, path: str, **more: Any) -> Any:
        return admin.request(method, path, **more)

    body = {"clientId": name, "secret": "lost", "serviceAccountsEnabled": True, "publicClient": False}
    place = client("POST", "clients", json=body).headers["Location"].rpartition("/")[2]
    try:
        account = client("GET", f"clients/{place}/service-account-user").json()["id"]
        (management,) = client("GET", "clients", params={"clientId": "realm-management"}).json()
        role = client("GET", f"clients/{management['id']}/roles/manage-users").json()
        client("POST", f"users/{account}/role-mappings/clients/{management['id']}", json=[role])
        access = site.settings.tenant["gateway"]["keycloak"]["service_account"]
        access.update(client_id=name, client_secret="guessed")
        with pytest.raises(Exception, match=name):
            await site.services.users.check(site.settings.load().tenants[0].keycloak)
        access["client_secret"] = client("POST", f"clients/{place}/client-secret").json()["value"]
        await site.services.users.check(site.settings.load().tenants[0].keycloak)
    finally:
        client("DELETE", f"clients/{place}")


async def test_a_sample_of_a_real_realm_has_the_sealed_enrolments_of_its_users(site: Site) -> None:
    user = await enrol(site)
    sealed = site.keycloak.admin.attribute(user.id)
    assert sealed[0] in await site.services.profiles.sample(site.configuration.tenants[0].keycloak, 10_000)
