"""Sinch Contact Pro as its vendor documents it: codes of the Sinch Verification API, and a fallback by mail.

The gateway runs on the stand-in identity provider. A first login also runs on a real Keycloak.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.ports import SystemClock
from tests.fixtures.http_service import never, says
from tests.fixtures.installation import CHANNEL, Folder, folder
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.keycloak_admin import new_password
from tests.fixtures.mail import MailServer
from tests.fixtures.person import Answer, Person, code_for, codes_to
from tests.fixtures.realm import with_registrations
from tests.fixtures.sinch_api import KEY, NUMBER, SECRET, FakeSinch, fake_sinch
from tests.fixtures.site import Site, whole
from tests.fixtures.stand_in_keycloak import StandIn
from tests.fixtures.upstream import EchoUpstream

SINCH = {
    "is2FAEnabled": True,
    "preset": "sinch",
    "channelType": "SMS",
    "channelServiceIdentifier": "sinch",
    "fallback": {"channelType": "EMAIL", "channelServiceIdentifier": CHANNEL},
}
SENDER = "codes@contact-centre.example"


@pytest.fixture
async def service() -> AsyncIterator[FakeSinch]:
    """Yields the running service."""
    async with fake_sinch(SystemClock()) as running:
        yield running


def configure(settings: Folder, service: FakeSinch) -> Folder:
    """Sets up a tenant of the preset."""
    channels = settings.gateway["channels"]
    channels[0].update({"kind": "sinch", "from": SENDER, "from_name": "Contact Centre"})
    entry = service.settings()
    entry["sinch"].update(authentication_id="", timeout=1)
    del entry["sinch"]["secret"]
    channels.append(entry)
    settings.gateway["secrets"] = {"sinch-verification-api": {"authentication_id": KEY, "secret": SECRET}}
    settings.tenant["gateway"]["phone_numbers"] = {"region": "DE"}
    settings.tenant["tenantSettings"]["twoFAConfigs"] = dict(SINCH)
    return settings


@pytest.fixture
def own_realm(keycloak: Keycloak) -> Iterator[Keycloak]:
    """Yields the real Keycloak with a realm whose users cannot write undeclared attributes."""
    name = f"sinch-{secrets.token_hex(4)}"
    keycloak.admin.request("POST", "/admin/realms", "", json=with_registrations(name, keycloak.clients))
    yield replace(keycloak, realm=name)
    keycloak.admin.request("DELETE", f"/admin/realms/{name}", "")


@asynccontextmanager
async def opened(
    settings: Folder, keycloak: Keycloak, mail: MailServer, app: EchoUpstream, service: FakeSinch
) -> AsyncIterator[Site]:
    async with whole(configure(settings, service), keycloak, mail, app) as site:
        service.clock = site.clock
        yield site


@pytest.fixture
async def site(
    tmp_path: Path, stand_in: StandIn, mail_server: MailServer, echo_upstream: EchoUpstream, service: FakeSinch
) -> AsyncIterator[Site]:
    """The preset on the stand-in identity provider."""
    settings = folder(tmp_path, keycloak=stand_in.server, mail=mail_server, app=echo_upstream.url)
    async with opened(settings, stand_in.server, mail_server, echo_upstream, service) as site:
        realm = stand_in.realms[stand_in.server.realm]
        realm.clock = site.clock
        realm.profile = {**realm.profile, "unmanagedAttributePolicy": "ADMIN_EDIT"}
        yield site


def owner_of(site: Site, number: str = NUMBER, **fields: Any) -> User:
    """Makes a user with a mobile number in the user record, which users cannot edit."""
    return site.user(attributes={"phoneNumber": [number]}, realm_name=site.keycloak.realm, **fields)


async def sign_in(agent: Person, user: User) -> Answer:
    return await agent.password(user.username, user.password)


@pytest.mark.keycloak
@pytest.mark.row("SI-02", "SI-09", "SI-11", "SI-12")
async def test_on_a_real_keycloak_the_number_of_the_user_record_gets_the_code(
    tmp_path: Path, own_realm: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream, service: FakeSinch
) -> None:
    settings = folder(tmp_path, keycloak=own_realm, mail=mail_server, app=echo_upstream.url)
    async with opened(settings, own_realm, mail_server, echo_upstream, service) as site:
        user = await asyncio.to_thread(owner_of, site)
        async with site.person() as agent:
            answer = await sign_in(agent, user)
            assert (answer.step, answer.body["factor"], answer.body["any_length"]) == ("verify", "sms", True)
            assert [sent.number for sent in service.sent] == [NUMBER]
            assert (await agent.get("/unified-admin/")).status != 200
            assert (await agent.do("verify", code=service.code())).step == "done"
            assert (await agent.get("/unified-admin/")).status == 200
        assert codes_to(site.mail, user.email or "") == []


@pytest.mark.row("SI-11")
async def test_neither_page_nor_audit_shows_the_number(site: Site, service: FakeSinch) -> None:
    user = owner_of(site)
    async with site.person() as agent:
        answer = await sign_in(agent, user)
        page = await agent.page()
    assert answer.body["sent_to"] == "•••67"
    assert NUMBER[1:] not in page
    assert [line["to"] for line in site.audit.of("code_sent")] == ["***67"]
    assert NUMBER[1:] not in str(site.audit.lines)


@pytest.mark.row("SI-03")
async def test_a_user_without_a_number_gets_the_code_by_mail_from_the_configured_sender(
    site: Site, service: FakeSinch
) -> None:
    user = site.user()
    assert user.email
    async with site.person() as agent:
        assert (await sign_in(agent, user)).body["factor"] == "email"
        code = await code_for(site.mail, user.email)
        assert (await agent.do("verify", code=code)).step == "done"
    assert site.mail.to(user.email)[-1].parsed["From"] == f"Contact Centre <{SENDER}>"
    assert not service.sent


@pytest.mark.row("SI-03")
async def test_a_failed_text_message_never_leads_to_the_fallback(site: Site, service: FakeSinch) -> None:
    service.instead = lambda request, _: says({"errorCode": 50000, "message": "Internal error"}, 500)
    user = owner_of(site)
    async with site.person() as agent:
        answer = await sign_in(agent, user)
        assert (answer.step, answer.problem, answer.body["factor"]) == ("verify", "send-failed", "sms")
        service.instead = None
        assert (await agent.do("verify", "resend")).problem is None
        assert (await agent.do("verify", code=service.code())).step == "done"
    assert not site.mail.to(user.email or "")


@pytest.mark.row("SI-04")
async def test_a_user_without_any_address_is_refused_and_audited(site: Site, service: FakeSinch) -> None:
    user = site.user(email=None)
    async with site.person() as agent:
        answer = await sign_in(agent, user)
        assert (answer.step, answer.problem) == ("stopped", "no-contact")
        assert (await agent.get("/unified-admin/")).status != 200
    assert "Your account has no address we can send codes to." in str(answer.body)
    assert [line["problem"] for line in site.audit.of("login_stopped")] == ["no-contact"]
    assert not service.sent


@pytest.mark.row("SI-05")
@pytest.mark.parametrize(("told", "life"), [("00:01:00", 60), ("00:10:00", 300), (None, 300)])
async def test_a_code_lives_as_long_as_the_shorter_of_both_validities(
    site: Site, service: FakeSinch, told: str | None, life: int
) -> None:
    service.expiry = told
    async with site.person() as agent:
        answer = await sign_in(agent, owner_of(site))
        assert life - 5 <= answer.body["expires_in"] <= life
        site.clock.advance(life)
        before = len(service.requests)
        assert (await agent.do("verify", code=service.code())).problem == "code-expired"
    assert len(service.requests) == before


@pytest.mark.row("SI-06", "SI-07")
async def test_three_wrong_codes_over_resends_and_logins_lock_for_half_an_hour(site: Site, service: FakeSinch) -> None:
    user = owner_of(site)
    async with site.person() as agent:
        await sign_in(agent, user)
        assert (await agent.do("verify", code=service.wrong())).problem == "wrong-code"
        site.clock.advance(61)
        await agent.do("verify", "resend")
        assert (await agent.do("verify", code=service.wrong())).problem == "wrong-code"
    site.clock.advance(61)
    async with site.person() as agent:
        await sign_in(agent, user)
        assert (await agent.do("verify", code=service.wrong())).problem == "locked"
    async with site.person() as agent:
        assert (await sign_in(agent, user)).problem == "locked"
        site.clock.advance(1801)
        await sign_in(agent, user)
        assert (await agent.do("verify", code=service.code())).step == "done"


async def test_after_a_resend_the_older_code_is_wrong(site: Site, service: FakeSinch) -> None:
    async with site.person() as agent:
        await sign_in(agent, owner_of(site))
        older = service.code()
        site.clock.advance(61)
        await agent.do("verify", "resend")
        assert older != service.code()
        assert (await agent.do("verify", code=older)).problem == "wrong-code"
        assert [request.target.rpartition("/")[2] for request in service.requests][-1] == service.sent[1].id
        assert (await agent.do("verify", code=service.code())).step == "done"


@pytest.mark.attack("F8")
async def test_a_service_that_does_not_answer_accepts_nothing_and_costs_no_attempt(
    site: Site, service: FakeSinch
) -> None:
    async with site.person() as agent:
        await sign_in(agent, owner_of(site))
        service.instead = lambda request, _: never()
        assert (await agent.do("verify", code=service.wrong())).problem == "check-failed"
        service.instead = None
        answer = await agent.do("verify", code=service.wrong())
        assert (answer.problem, answer.body["attempts_left"]) == ("wrong-code", 2)
        assert (await agent.do("verify", code=service.code())).step == "done"


@pytest.mark.row("SI-10")
async def test_a_due_password_is_changed_between_two_codes(site: Site, service: FakeSinch) -> None:
    user = owner_of(site, required_actions=("UPDATE_PASSWORD",))
    async with site.person() as agent:
        assert (await sign_in(agent, user)).step == "verify"
        old = service.code()
        assert (await agent.do("verify", code=old)).step == "new-password"
        site.clock.advance(61)
        assert (await agent.do("new-password", new_password=new_password())).step == "verify"
        assert len(service.sent) == 2
        assert (await agent.do("verify", code=old)).problem == "wrong-code"
        assert (await agent.do("verify", code=service.code())).step == "done"
