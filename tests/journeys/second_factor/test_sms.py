"""Codes by text message, on a real Keycloak and an SMS gateway on loopback."""

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from tests.fixtures import realm as realms
from tests.fixtures.http_service import HttpServer, http_server, says
from tests.fixtures.installation import Folder, folder
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.mail import MailServer
from tests.fixtures.person import wrong
from tests.fixtures.site import Site, whole
from tests.fixtures.upstream import EchoUpstream

pytestmark = pytest.mark.keycloak
NUMBER = "+923001234567"
TYPED = "٠٣٠٠ ١٢٣ ٤٥٦٧"
PROFILE = "users/profile"


@pytest.fixture(scope="module")
def keycloak(keycloak: Keycloak) -> Iterator[Keycloak]:
    """Yields the real Keycloak with a realm whose users cannot write undeclared attributes."""
    name = f"sms-{secrets.token_hex(4)}"
    body = realms.with_registrations(name, keycloak.clients)
    keycloak.admin.request("POST", "/admin/realms", "", json=body)
    yield replace(keycloak, realm=name)
    keycloak.admin.request("DELETE", f"/admin/realms/{name}", "")


@pytest.fixture
async def sms(settings: Folder) -> AsyncIterator[HttpServer]:
    """Yields an SMS gateway, to which the settings send all codes."""
    async with http_server(lambda _: says({"status": "queued"}, status=201)) as server:
        section = {
            "url": f"{server.url}/send",
            "headers": [{"name": "Content-Type", "value": "application/json"}],
            "body": '{"to": "{number}", "text": "{text}"}',
            "success": {"json": {"status": "queued"}},
            "price": 0.05,
        }
        channel = {"serviceIdentifier": "sms", "type": "SMS", "kind": "sms-http", "sms_http": section}
        settings.gateway["channels"].append(channel)
        settings.two_factor.update(channelType="SMS", channelServiceIdentifier="sms")
        settings.tenant["gateway"]["phone_numbers"] = {"region": "PK"}
        yield server


@pytest.fixture
def settings(
    tmp_path_factory: pytest.TempPathFactory, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream
) -> Folder:
    """Returns the settings of `site`."""
    return folder(tmp_path_factory.mktemp("sms"), keycloak=keycloak, mail=mail_server, app=echo_upstream.url)


@pytest.fixture
async def site(
    sms: HttpServer, settings: Folder, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream
) -> AsyncIterator[Site]:
    """Yields the running gateway."""
    async with whole(settings, keycloak, mail_server, echo_upstream) as site:
        yield site


def code(sms: HttpServer) -> str:
    """Returns the code of the newest text."""
    text: str = sms.requests[-1].json()["text"]
    assert text.splitlines()[-1].startswith("@127.0.0.1 #")
    return text.rpartition("#")[2]


@pytest.mark.row("EF-20")
async def test_a_user_enrols_a_number_and_each_later_login_sends_at_once(site: Site, sms: HttpServer) -> None:
    user = site.keycloak.admin.create_user(realm_name=site.keycloak.realm)
    async with site.person() as agent:
        assert (await agent.password(user.username, user.password)).step == "register"
        assert (await agent.do("register", address="not a number")).problem == "bad-number"
        assert (await agent.do("register", address="+49 170 1234567")).problem == "number-not-allowed"
        confirm = await agent.do("register", address=TYPED)
        assert (confirm.step, confirm.body["address"]) == ("confirm", "+92 300 1234567")
        assert sms.requests == []
        sent = await agent.do("confirm", "send")
        assert (sent.step, sent.body["factor"], sent.body["sent_to"]) == ("verify", "sms", "+92 300 1234567")
        assert sms.requests[0].json()["to"] == NUMBER
        assert (await agent.do("verify", code=wrong(code(sms)))).problem == "wrong-code"
        assert (await agent.do("verify", code=code(sms))).step == "done"
        assert (await site.seen(agent))["authorization"].startswith("Bearer ")
    site.clock.advance(61)
    async with site.person() as agent:
        again = await agent.password(user.username, user.password)
        assert (again.step, again.body["sent_to"]) == ("verify", "•••67")
        assert len(sms.requests) == 2
        assert (await agent.do("verify", code=code(sms))).step == "done"
    lines = [line for line in site.audit.lines if line["event"] == "code_sent"]
    assert [(line["factor"], line["channel"], line["to"]) for line in lines] == [("sms", "sms", "***67")] * 2
    assert NUMBER.removeprefix("+") not in json.dumps(site.audit.lines)
    assert "efcx_gateway_sms_messages_total" in site.services.metrics.text().decode()


async def test_a_text_that_the_gateway_rejects_is_offered_again_and_does_not_count(site: Site, sms: HttpServer) -> None:
    user = site.keycloak.admin.create_user(realm_name=site.keycloak.realm)
    accept, sms.answer = sms.answer, lambda _: says({"status": "rejected"})
    async with site.person() as agent:
        await agent.password(user.username, user.password)
        await agent.do("register", address=TYPED)
        assert (await agent.do("confirm", "send")).problem == "send-failed"
        sms.answer = accept
        assert (await agent.do("verify", "resend")).step == "verify"
        assert (await agent.do("verify", code=code(sms))).step == "done"


@pytest.mark.row("SI-11")
@pytest.mark.attack("F3", "F4")
async def test_a_number_of_the_profile_gets_codes_only_while_users_cannot_edit_it(site: Site, sms: HttpServer) -> None:
    site.change(registrationContact="profile", onNoContact="refuse")
    admin, realm = site.keycloak.admin, site.keycloak.realm
    user, other = (admin.create_user(attributes={"phoneNumber": ["0300 1234567"]}, realm_name=realm) for _ in range(2))
    async with site.person() as agent:
        sent = await agent.password(user.username, user.password)
        assert (sent.step, sent.body["sent_to"]) == ("verify", "•••67")
        assert (await agent.do("verify", code=code(sms))).step == "done"
    profile = admin.request("GET", PROFILE, realm).json()
    admin.request("PUT", PROFILE, realm, json={**profile, "unmanagedAttributePolicy": "ENABLED"})
    try:
        async with site.person() as agent:
            stopped = await agent.password(other.username, other.password)
            assert (stopped.step, stopped.problem) == ("stopped", "no-contact")
    finally:
        admin.request("PUT", PROFILE, realm, json=profile)
    assert len(sms.requests) == 1
